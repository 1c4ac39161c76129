"""Stage fetch-data: let the model repository load its raw data; store it by its digest.

The organisation's own evaluation data, where the environments name some, are fetched beside it by
this stage itself: no code of the model repository sees them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import typer

from touchstone import confine
from touchstone.artifacts import models, places
from touchstone.artifacts.store import Store, open_store
from touchstone.commands import stage
from touchstone.confine import Confinement, Limits
from touchstone.contract.model_repo import Data
from touchstone.contract.reads import DataReads, load
from touchstone.delivery import floors
from touchstone.errors import ManifestError, TouchstoneError
from touchstone.home import SHIPPED
from touchstone.training import raised
from touchstone.training.spec import Description
from touchstone.training.tables.asked import is_inside
from trust_gates import evaluation
from trust_gates.evaluation import Evaluation
from trust_gates.visible import one_line

_PATIENCE = 60
"""Seconds without a byte."""


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    reads: Annotated[str, typer.Option(help="Digest of what this stage reads of the repository.")],
    result_data: Annotated[Path, typer.Option(help="File for the raw data's digest.")],
    result_evaluation: Annotated[
        Path | None, typer.Option(help="File for the evaluation data's digest; empty without any.")
    ] = None,
    result_varies: Annotated[
        Path | None, typer.Option(help="File for why the data may differ next time.")
    ] = None,
    uri: Annotated[str, typer.Option(help="In place of spec.data.uri; empty takes that.")] = "",
    loaded: Annotated[str, typer.Option(help="Digest of data that validate has loaded.")] = "",
    floor: Annotated[
        str, typer.Option(help="Digest of the environments' floor; empty for none.")
    ] = "",
    packages: Annotated[
        str, typer.Option(help="Digest of the packages that the code may import; empty for none.")
    ] = "",
    data_secret: Annotated[
        str, typer.Option(help="Folder of the Secret by which s3:// data are asked for, or empty.")
    ] = "",
) -> None:
    """Load the data that spec.data.uri names, with spec.data.seed; held to spec.data.digest.

    Data that an event names in its place has no digest to be held to: its own is recorded, and
    every later stage reads it by that.
    """
    from touchstone.training import dataset

    artifacts = open_store(store)
    with tempfile.TemporaryDirectory() as folder:
        asked_of = load(artifacts, reads, DataReads)
        declared = asked_of.data
        source_uri = uri or declared.uri
        options = _options(data_secret, source_uri)
        place = Path(folder) / "data"
        if loaded:
            artifacts.get(loaded, place)
        else:
            repository = artifacts.get(asked_of.code, Path(folder) / "source")
            typer.echo(f"loading {one_line(source_uri)} with seed {declared.seed}")
            place.mkdir()
            if declared.is_table:
                _read(declared, repository, uri, place, options)
            else:
                shown = models.get_packages(artifacts, packages, Path(folder) / "packages")
                given = _fetched(source_uri, Path(folder) / "fetched", options)
                seen = Path(folder) / "fetched" if options else None
                _load(repository, asked_of.entrypoint, given, declared.seed, place, shown, seen)
        data = dataset.read_raw(place)
        if not declared.is_table and (problem := dataset.unread(data.description)):
            raise ManifestError(problem)
        digest = artifacts.put(place)
    held = "" if declared.is_table else declared.digest  # a table's is of its bytes: held to it
    if not uri and held not in ("", digest):
        raise TouchstoneError(
            f"got {digest} from {declared.uri}, expected spec.data.digest {declared.digest}",
            hint="the data changed; review it, then write the new digest into touchstone.yaml",
        )
    for name, values in data.description.protected.items():
        column = data.arrays[f"protected_{name}"]
        shares = ", ".join(f"{value} {(column == i).sum()}" for i, value in enumerate(values))
        typer.echo(one_line(f"{name}: {shares}"))
    typer.echo(f"{len(data.arrays['inputs'])} samples, {digest}")
    asked = floors.evaluation(floors.load(artifacts, floor))
    if asked is not None:
        fetch(asked, artifacts, data.description)
    stage.write_result(result_data, digest)
    if result_evaluation is not None:
        stage.write_result(result_evaluation, asked.digest if asked else "")
    if result_varies is not None:
        stage.write_result(
            result_varies,
            ""
            if declared.is_table and is_inside(source_uri)  # then the commit holds it
            else _varies(source_uri, loaded or ("" if uri else declared.digest)),
        )


def _varies(uri: str, digest: str) -> str:
    """Why another attempt may load other data; empty where the digest or the seed decides them."""
    if digest:
        return ""
    if _is_address(uri):
        return f"what {one_line(uri)} says may change, and no spec.data.digest holds it"
    if urlsplit(uri).scheme == "file" or confine.shown_data():
        return "folders of this machine are shown, and no spec.data.digest holds what is in them"
    return ""


def _is_address(uri: str) -> bool:
    """Whether it takes a network; `generate` or `sklearn:digits` lie in what is installed."""
    return "://" in uri and urlsplit(uri).scheme != "file"


def fetch(asked: Evaluation, artifacts: Store, description: Description) -> None:
    """Put the evaluation data into the store, after a look whether a model could be asked on them.

    Raises:
        ManifestError: they cannot be fetched, or have another digest.
        PolicyError: they do not fit the model.
    """
    hint = "gates.evaluation of environment.yaml names the address and the digest"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "evaluation.csv"
        wanted = {asked.uri: place}
        if not urlsplit(asked.uri).path.endswith(".csv"):
            place = Path(folder) / "evaluation"
            place.mkdir()
            names = ("dataset.json", "test.npz")
            wanted = {f"{asked.uri.rstrip('/')}/{name}": place / name for name in names}
        for address, file in wanted.items():
            try:
                # S310: Evaluation allows file:///… and https://… alone.
                with (
                    urlopen(address, timeout=_PATIENCE) as found,  # noqa: S310
                    file.open("xb") as copy,
                ):
                    shutil.copyfileobj(found, copy)
            except (OSError, HTTPException, ValueError) as error:
                raise ManifestError(
                    f"the evaluation data cannot be fetched from {address}: {error}", hint=hint
                ) from None
        samples = evaluation.read(place, description)
        digest = artifacts.put(place)
    if digest != asked.digest:
        raise ManifestError(
            f"got evaluation data {digest} from {asked.uri}, expected {asked.digest}", hint=hint
        )
    typer.echo(one_line(f"{len(samples)} samples of the organisation's own, {digest}"))


def _options(secret: str, uri: str) -> dict[str, str]:
    """The keys of the Secret, where the data are in an object store and it is there at all."""
    if not secret or not Path(secret).is_dir() or urlsplit(uri).scheme != "s3":
        return {}
    options = places.options_of(Path(secret))
    places.check("s3", options, one_line(uri))
    return options


def _fetched(uri: str, folder: Path, options: Mapping[str, str]) -> str:
    """Where `load_data` finds the data: the URI itself, or a file that was got with the Secret.

    Code of a model repository is never shown the Secret.
    """
    from touchstone.training.tables import load as tables

    if not options:
        return uri
    folder.mkdir(mode=0o755)
    file = folder / (PurePosixPath(unquote(urlsplit(uri).path)).name or "data")
    most = Limits().disk
    try:
        tables.download(uri, file, options, most=most)
    except tables.TableError as error:
        raise TouchstoneError(
            str(error), hint="the Secret touchstone-data is asked by: docs/reference/stores.md"
        ) from None
    if file.stat().st_size > most:
        raise TouchstoneError(f"got more than {most:,} bytes from {one_line(uri)}, expected less")
    return file.as_uri()


def _read(
    declared: Data, repository: Path, uri: str, output: Path, options: Mapping[str, str]
) -> None:
    """Read a table, without any of the repository's code."""
    from touchstone.training.tables import load as tables

    try:
        shown = confine.shown_data()
        tables.load(declared, repository, output, uri=uri, show=shown, options=options)
    except tables.TableError as error:
        raise ManifestError(
            str(error), hint="docs/reference/model-repository.md says how tables are read"
        ) from None


def _load(
    repository: Path,
    entrypoint: str,
    uri: str,
    seed: int,
    output: Path,
    packages: Path | None,
    fetched: Path | None,
) -> None:
    """Run the repository's `load_data` where it sees its own files and, at most, the network."""
    confinement = Confinement(
        read=[repository, *confine.shown_data(), *filter(None, [packages, fetched])],
        write=[output],
        ports=confine.data_ports(),
        network="host" if _is_address(uri) else "none",
    )
    program = SHIPPED / "training" / "load_data.py"
    words: list[str | Path] = [
        sys.executable,
        "-P",
        program,
        repository,
        entrypoint,
        uri,
        str(seed),
        output,
        str(packages or ""),
    ]
    with confine.started(words, confinement, folder=repository, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None  # noqa: S101 (it is a pipe)
        said = confine.tail(process.stderr).decode(errors="replace")
    lines, why = raised.sifted(said.splitlines())
    sys.stderr.writelines(f"{line}\n" for line in lines)
    if process.returncode:
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        raise TouchstoneError(
            why or f"load_data of {entrypoint} ended with exit code {process.returncode}: {last}",
            hint="it sees the repository, the installed packages, and the network only where"
            " spec.data.uri is an address, ports 80 and 443; `touchstone up --data FOLDER` shows it"
            " a folder, `--data-port` opens a port",
        )


if __name__ == "__main__":
    stage.run(main)
