"""`run`: execute Tekton YAML on this machine, with no cluster and no platform running."""

from __future__ import annotations

import difflib
import json
import secrets
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.printed import Printer
from touchstone.errors import DeadlineError, ManifestError, TouchstoneError, UsageError
from touchstone.home import Home
from touchstone.runs.record import RESULT_LIMIT

if TYPE_CHECKING:
    from touchstone.documents.yaml import Document
    from touchstone.runs.memory import Run
    from touchstone.runs.store import State

Json = dict[str, Any]

_INVALID = {
    *("PipelineValidationFailed", "TaskRunValidationFailed", "TaskRunResolutionFailed"),
    *("CouldntGetPipeline", "CouldntGetTask", "ParameterMissing", "ParameterTypeMismatch"),
    *("ObjectParameterMissKeys", "InvalidParamValue", "InvalidWorkspaceBindings"),
    *("InvalidTaskRunSpecs", "InvalidTaskResultReference", "InvalidPipelineResultReference"),
}
"""Reasons of a run that could not begin, as its manifests are."""

DEFINITIONS = "touchstone.dev/definitions"
"""Annotation with the files that the run's references are looked up in, as a JSON list."""

_TIMEOUTS = {"PipelineRunTimeout", "TaskRunTimeout"}


Stop = Annotated[
    bool, typer.Option("--breakpoint", help="A step that failed waits, with a shell inside it.")
]
StopBefore = Annotated[
    list[str] | None,
    typer.Option("--breakpoint-before", help="Wait before the step of that name; may be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(run)


def run(
    file: Annotated[
        list[Path], typer.Option("--file", "-f", help="YAML file or folder; may be repeated.")
    ],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; may be repeated.")
    ] = None,
    workspace: Annotated[
        list[str] | None, typer.Option("--workspace", "-w", help="NAME=FOLDER; may be repeated.")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="TaskRuns at the same time.")] = 2,
    result_limit: Annotated[
        int,
        typer.Option(min=1, help="Bytes that a step's results may take as JSON, together."),
    ] = RESULT_LIMIT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the objects with their status; logs go to stderr.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every stage, cached or not; implies --fresh.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew also where the same run was cut short.")
    ] = False,
    stop: Stop = False,
    stop_before: StopBefore = None,
) -> None:
    """Run Tekton YAML: its PipelineRuns and TaskRuns, else its one Pipeline or Task.

    Volumes, secrets/NAME/KEY, logs and state are kept in the folder run/ of $TOUCHSTONE_HOME. The
    same command again after a kill goes on with the run that was cut short, unless its files have
    changed since.

    Example: touchstone run -f pipeline.yaml -p revision=main -w source=./src
    """
    from touchstone.artifacts.store import digest_bytes
    from touchstone.engine import Engine
    from touchstone.engine.rules import validate
    from touchstone.engine.text.load import load_files
    from touchstone.engine.text.objects import is_foreign
    from touchstone.runs import lookup
    from touchstone.runs.store import State

    documents = load_files(file)
    for ignored in (document for document in documents if is_foreign(document)):
        typer.echo(
            f"note: {ignored.location()}: ignored, nothing here reads a {ignored.kind}", err=True
        )
    documents = [document for document in documents if not is_foreign(document)]
    validate(documents)
    home = Home.default().root / "run"
    given = _pairs(param or [], "-p")
    folders = _pairs(workspace or [], "-w")
    runs = _runs(documents)
    _refuse_unknown(given, runs, documents, "-p", "params")
    _refuse_unknown(folders, runs, documents, "-w", "workspaces")
    manifests = [_bound(manifest, documents, given, folders, home) for manifest in runs]
    Home(home.parent).make()
    state = State(home)
    engine = Engine(state, home, definitions=file, parallel=parallel)
    for manifest in manifests:
        engine.check(manifest)
    bodies = json.dumps([item.body for item in documents]).encode()
    extra = {
        DEFINITIONS: json.dumps([str(path.resolve()) for path in file]),
        lookup.DEFINED_AS: digest_bytes(bodies),
    }
    if no_cache:
        extra[lookup.NO_CACHE] = "true"
    extra |= breakpoints(stop, stop_before)
    fresh = fresh or no_cache
    names = [_store(state, home, manifest, extra, fresh=fresh) for manifest in manifests]
    execute(
        state,
        home,
        names,
        definitions=file,
        parallel=parallel,
        as_json=as_json,
        result_limit=result_limit,
    )


def breakpoints(on_failure: bool, before: Sequence[str] | None) -> dict[str, str]:
    """The annotation of a run whose steps are to wait there; none where they are not."""
    from touchstone.runs.lookup import BREAKPOINTS

    said: Json = {"onFailure": "enabled"} if on_failure else {}
    if before:
        said["beforeSteps"] = list(before)
    return {BREAKPOINTS: json.dumps(said)} if said else {}


def execute(
    state: State,
    home: Path,
    names: Sequence[str],
    *,
    definitions: Sequence[Path],
    parallel: int,
    as_json: bool,
    result_limit: int = RESULT_LIMIT,
) -> None:
    """Run stored runs one after another, printing what happens; raises what one failed with."""
    from touchstone.engine import Engine

    printer = Printer(err=as_json)
    engine = Engine(
        state,
        home,
        definitions=definitions,
        parallel=parallel,
        observer=printer.notice,
        result_limit=result_limit,
    )
    try:
        with printer:
            statuses = [engine.execute(name) for name in names]
    finally:
        engine.stop()
    if as_json:
        typer.echo(json.dumps(_listed(state, names), indent=2))
    for name, status in zip(names, statuses, strict=True):
        _raise_failure(name, status)


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UsageError(f"{option} {text}: got no =, expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _runs(documents: Sequence[Document]) -> list[Json]:
    """The runs among the documents, or one made for the Pipeline or Task that is there alone."""
    runs = [dict(d.body) for d in documents if d.kind in {"PipelineRun", "TaskRun"}]
    if runs:
        return runs
    for kind in ("Pipeline", "Task"):
        found = [d.name for d in documents if d.kind == kind]
        if len(found) == 1:
            return [
                {
                    "apiVersion": "tekton.dev/v1",
                    "kind": f"{kind}Run",
                    "metadata": {"generateName": f"{found[0]}-"},
                    "spec": {f"{kind.lower()}Ref": {"name": found[0]}},
                }
            ]
        if found:
            raise UsageError(
                f"got {len(found)} {kind}s ({', '.join(found)}), expected one, or a {kind}Run",
                hint=f"add a {kind}Run that says which one to run",
            )
    raise UsageError("got no PipelineRun, TaskRun, Pipeline or Task in the files, expected one")


def _refuse_unknown(
    given: Mapping[str, Any],
    runs: Sequence[Json],
    documents: Sequence[Document],
    option: str,
    field: str,
) -> None:
    """Refuse a name that no run takes: it would have no effect, and a typo would go unseen.

    As Tekton propagates params and workspaces to embedded specs, a mere reference takes one too.
    """
    from touchstone.engine.language.substitute import references

    targets = [_target(run["spec"], documents) for run in runs]
    if not given or None in targets:  # what is fetched later may declare anything
        return
    specs = [
        spec for run, target in zip(runs, targets, strict=True) for spec in (run["spec"], target)
    ]
    declared = {item["name"] for spec in specs if spec for item in spec.get(field) or []}
    referred = {key[1] for key in references(specs) if key[0] == field and len(key) > 1}
    for name in given:
        if name not in declared | referred:
            close = difflib.get_close_matches(name, declared | referred, n=1)
            raise UsageError(
                f"{option} {name}: got a name that nothing declares, expected one of:"
                f" {', '.join(sorted(declared)) or 'none'}",
                hint=f"did you mean {close[0]}?" if close else "",
            )


def _target(spec: Mapping[str, Any], documents: Sequence[Document]) -> Mapping[str, Any] | None:
    """The spec of the Pipeline or Task that a run is of; None where it is not among the files."""
    for kind, field in (("Pipeline", "pipeline"), ("Task", "task")):
        if f"{field}Spec" in spec:
            return dict(spec[f"{field}Spec"])
        name = spec.get(f"{field}Ref", {}).get("name")
        for document in documents:
            if document.kind == kind and document.name == name:
                return dict(document.body["spec"])
    return None


def _bound(
    manifest: Json,
    documents: Sequence[Document],
    given: Mapping[str, str],
    folders: Mapping[str, str],
    home: Path,
) -> Json:
    """The run with the command line's params and workspaces in place of its own."""
    spec = dict(manifest["spec"])
    types = _param_types(spec, documents)
    params = {item["name"]: item["value"] for item in spec.get("params", [])}
    params |= {name: _typed(name, text, types.get(name, "string")) for name, text in given.items()}
    if params:
        spec["params"] = [{"name": name, "value": value} for name, value in params.items()]
    bindings = {item["name"]: item for item in spec.get("workspaces", [])}
    for name, folder in folders.items():
        bindings[name] = {
            "name": name,
            "persistentVolumeClaim": {"claimName": _claim(home, folder)},
        }
    if bindings:
        spec["workspaces"] = list(bindings.values())
    return {**manifest, "spec": spec}


def _param_types(spec: Mapping[str, Any], documents: Sequence[Document]) -> dict[str, str]:
    from touchstone.engine.language.values import declared_type

    target = _target(spec, documents) or {}
    return {item["name"]: declared_type(item) for item in target.get("params", [])}


def _typed(name: str, text: str, kind: str) -> Any:
    """A param from the command line: arrays as a,b, objects as key:value,…, or either as JSON."""
    if kind == "string":
        return text
    if text.startswith(("[", "{")):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise UsageError(f"-p {name}: got broken JSON ({error})") from None
        for item in value.values() if isinstance(value, dict) else value:
            if not isinstance(item, str):  # Tekton's items are texts
                raise UsageError(
                    f"-p {name}: got {json.dumps(item)} in it, expected texts",
                    hint="put each in double quotes",
                )
        return value
    items = text.split(",") if text else []
    if kind == "array":
        return items
    if any(":" not in item for item in items):
        raise UsageError(
            f"-p {name}={text}: expected an object, as in {name}=key:value,other:value"
        )
    return dict(item.split(":", 1) for item in items)


def _claim(home: Path, folder: str) -> str:
    """The claim that stands for a folder of this machine: a link among the volumes."""
    import hashlib

    target = Path(folder).resolve()
    if not folder or not target.is_dir():
        hint = f"mkdir -p {shlex.quote(folder)}" if folder else "-w NAME=. is this folder"
        if folder and target.exists():
            hint = "give the folder that the file is in"
        raise UsageError(f"-w: got {folder or 'nothing'}, expected an existing folder", hint=hint)
    claim = f"folder-{hashlib.sha256(str(target).encode()).hexdigest()[:16]}"
    link = home / "volumes" / claim
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target, target_is_directory=True)
    return claim


def _store(
    state: State, home: Path, manifest: Json, extra: Mapping[str, str], *, fresh: bool
) -> str:
    """Store the run under a free name; the name of the same run where one was cut short.

    `extra` are annotations. Where DEFINED_AS has changed, what the run had done by then came from
    something else, and it starts anew.
    """
    from touchstone.runs import lookup

    metadata = dict(manifest.get("metadata", {}))
    origin = metadata.get("annotations", {}) | {
        lookup.ASKED_AS: json.dumps(metadata, sort_keys=True)
    }
    if known := _cut_short(state, home, origin[lookup.ASKED_AS], manifest["spec"]):
        told = lookup.annotations_of(known.manifest)
        changed = told.get(lookup.DEFINED_AS) != extra[lookup.DEFINED_AS]
        if not changed and not fresh:
            typer.echo(f"{known.name}: going on where it was cut short", err=True)
            return known.name
        why = "as asked" if fresh else "its files have changed since"
        typer.echo(f"{known.name}: was cut short; starting anew: {why}", err=True)
    name = metadata.get("name") or f"{metadata['generateName']}{_suffix()}"
    if state.run(name):
        name = f"{name}-{_suffix()}"
    manifest["metadata"] = {**metadata, "name": name, "annotations": {**origin, **extra}}
    try:
        state.add_run(manifest)
    except sqlite3.IntegrityError:
        raise TouchstoneError(f"the name {name} was taken meanwhile", hint="try again") from None
    return str(name)


def _cut_short(state: State, home: Path, asked: str, spec: Json) -> Run | None:
    """The last run of the same command, where it was cut short: one before it was given up."""
    from touchstone.runs import lookup
    from touchstone.runs.lock import is_executed

    def waits(known: Run) -> bool:
        told = lookup.annotations_of(known.manifest).get(lookup.ASKED_AS)
        return (
            told == asked and known.manifest["spec"] == spec and not is_executed(home, known.name)
        )

    if not any(waits(known) for known in state.runs(done=False)):
        return None  # all runs are read only where there is one to look for
    last = [known for known in state.runs() if waits(known)][-1]
    return None if last.done else last


def _suffix() -> str:
    return secrets.token_hex(3)


def _listed(state: State, names: Sequence[str]) -> Json:
    """The runs and their TaskRuns as `kubectl get -o json` would list them."""
    items: list[Json] = []
    for name in names:
        stored = state.run(name)
        if stored is None:
            continue
        items.append({**stored.manifest, "status": stored.status})
        if stored.manifest["kind"] == "TaskRun":
            continue
        items.extend(_children(name, stored.status, state.taskruns(name)))
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _children(parent: str, status: Mapping[str, Any], stored: Mapping[str, Json]) -> list[Json]:
    """The TaskRuns and child PipelineRuns of a run, and theirs."""
    items: list[Json] = []
    for child in status.get("childReferences", []):
        found = stored.get(child["name"])
        if found is None:
            continue
        task = child["pipelineTaskName"]
        labels = {"tekton.dev/pipelineRun": parent, "tekton.dev/pipelineTask": task}
        items.append(
            {
                "apiVersion": "tekton.dev/v1",
                "kind": child["kind"],
                "metadata": {"name": child["name"], "labels": labels},
                "status": found,
            }
        )
        items.extend(_children(child["name"], found, stored))
    return items


def _raise_failure(name: str, status: Mapping[str, Any]) -> None:
    from touchstone.runs import record

    condition = record.succeeded_condition(status)
    if condition["status"] == "True":
        return
    reason, message = condition["reason"], condition["message"]
    kind: type[TouchstoneError] = TouchstoneError
    if reason in _TIMEOUTS:
        kind = DeadlineError
    elif reason in _INVALID and not status.get("childReferences"):
        kind = ManifestError
    raise kind(f"{name}: {reason}: {message}")
