"""Which Task or Pipeline does a Tekton bundle hold? Bundles are read from OCI layouts on disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchstone.engine.text.remote.fetched import LIMIT, Fetched, ResolutionError, as_text, required

_NAME, _KIND = "dev.tekton.image.name", "dev.tekton.image.kind"


def from_bundle(params: Mapping[str, str]) -> Fetched:
    """Params: bundle (oci:FOLDER or oci:FOLDER:TAG), name, kind. Raises ResolutionError."""
    bundle, name = required(params, "bundle", "name")
    kind = params.get("kind", "task").lower()
    if not bundle.startswith("oci:"):
        raise ResolutionError(
            f"got the bundle {bundle!r}, expected oci:FOLDER, an OCI layout on this machine"
            " (made by: skopeo copy docker://… oci:FOLDER)"
        )
    folder, tag = _place(bundle.removeprefix("oci:"))
    try:
        digest = _manifest_digest(folder, tag)
        manifest = json.loads(_blob(folder, digest))
        for layer in manifest["layers"]:
            labels = layer.get("annotations", {})
            if (labels.get(_NAME), labels.get(_KIND, "").lower()) == (name, kind):
                text = as_text(_single_file(_blob(folder, layer["digest"])), bundle)
                return Fetched(
                    text=text,
                    uri=bundle,
                    digest={"sha256": digest.partition(":")[2]},
                    entry_point=name,
                )
    except (OSError, ValueError, KeyError, TypeError, tarfile.TarError, EOFError) as error:
        raise ResolutionError(f"{bundle}: no readable OCI layout ({error})") from None
    raise ResolutionError(f"{bundle}: got no {kind} {name!r} among its {len(manifest['layers'])}")


def _place(text: str) -> tuple[Path, str]:
    head, sign, tag = text.rpartition(":")
    return (Path(head), tag) if sign and "/" not in tag else (Path(text), "")


def _manifest_digest(folder: Path, tag: str) -> str:
    manifests: list[dict[str, Any]] = json.loads((folder / "index.json").read_bytes())["manifests"]
    for item in manifests:
        label = item.get("annotations", {}).get("org.opencontainers.image.ref.name", "")
        if not tag or label == tag:
            return str(item["digest"])
    raise ValueError(f"no manifest with the tag {tag!r}")


def _blob(folder: Path, digest: str) -> bytes:
    """The blob of that digest, which is checked."""
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or not value.isalnum():
        raise ValueError(f"got the digest {digest!r}, expected sha256")
    content = (folder / "blobs" / algorithm / value).read_bytes()
    if hashlib.sha256(content).hexdigest() != value:
        raise ValueError(f"the blob {digest} has other content than its digest says")
    return content


def _single_file(layer: bytes) -> bytes:
    """The one file of a layer, at most one byte more than may be."""
    if layer[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(layer)) as stream:
            layer = stream.read(2 * LIMIT)
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
        for member in archive:
            stream_of = archive.extractfile(member)
            if stream_of is not None:
                return stream_of.read(LIMIT + 1)
    raise ValueError("a layer without a file")
