"""`install`, `uninstall`: Touchstone on a cluster."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from touchstone.install.api import Api
    from touchstone.install.checks import Check
    from touchstone.install.values import Installation

Kubeconfig = Annotated[
    Path | None, typer.Option(help="File that names the cluster, in place of kubectl's.")
]
Context = Annotated[str, typer.Option(help="Context of it.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(install)
    app.command()(uninstall)


def install(
    plan: Annotated[bool, typer.Option("--plan", help="Say what would change (default).")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it, and wait for it.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Folder to write a platform repository into.")
    ] = None,
    values: Annotated[
        Path | None,
        typer.Option(help="The installation's values; touchstone-install.yaml where there is one."),
    ] = None,
    registry: Annotated[
        str, typer.Option(help="Where models' images go, as registry.example.org/models.")
    ] = "",
    gitops: Annotated[str, typer.Option(help="URL of the GitOps repository.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where runs live.")] = "",
    overlay: Annotated[str, typer.Option(help="minimal, s3, gpu, multi-tenant or openshift.")] = "",
    store: Annotated[str, typer.Option(help="Where artifacts go, as s3://bucket/prefix.")] = "",
    forge: Annotated[str, typer.Option(help="github, gitlab, forgejo or bitbucket.")] = "",
    domain: Annotated[str, typer.Option(help="Host name that the forge posts to.")] = "",
    environment: Annotated[
        list[str] | None, typer.Option(help="Namespace that models are served in; may be repeated.")
    ] = None,
    reviewer: Annotated[
        list[str] | None, typer.Option(help="FORGE:LOGIN who may approve; may be repeated.")
    ] = None,
    reach: Annotated[
        list[str] | None,
        typer.Option(help="Private addresses (CIDR) that stages may speak to; may be repeated."),
    ] = None,
    platform: Annotated[
        str, typer.Option(help="URL of the platform repository, if Argo CD is to own it.")
    ] = "",
    secrets: Annotated[
        Path | None,
        typer.Option(help="Folder with the credentials that runs need: SECRET/KEY files."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for all of it.")] = 300,
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Check a cluster, and put Touchstone on it.

    Values come from touchstone-install.yaml and from these options; what is needed and missing is
    asked for. Keys are made here and go to the cluster alone; applied again, everything that is
    there stays. --write keeps all but Secrets as files, a repository that Argo CD can own.

    \b
    Examples:
      touchstone install --plan
      touchstone install --apply --registry registry.example.org/models
        --gitops https://git.example.org/platform/gitops.git --secrets credentials
      touchstone install --write platform --store s3://models/touchstone --overlay s3
    """
    from touchstone.install.api import Api

    flags = {
        "registry": registry, "gitops": gitops, "namespace": namespace, "overlay": overlay,
        "store": store, "forge": forge, "domain": domain, "environments": environment,
        "reviewers": reviewer, "reach": reach, "platform": platform,
    }  # fmt: skip
    given = {key: value for key, value in flags.items() if value}
    known = _values(values, given, write, needed=apply or write is not None)
    if write is not None:
        written = _write(write, known) if known else []
        if not (apply or plan):
            _told_written(write, written, as_json=as_json)
            return
    api = Api.connect(kubeconfig, context)
    found = _checked(api, known, overlay or "minimal")
    if not as_json:
        show(found)
    blocked = [one for one in found if one.state == "missing"]
    if known is None:
        _told_unknown(found, as_json=as_json)
        return
    with tempfile.TemporaryDirectory(prefix="touchstone-install-") as scratch:
        folder = write or Path(scratch)
        if write is None:
            _write(folder, known)
        objects = _objects(folder)
        if not apply:
            changes = _planned(api, known, objects, blocked, as_json=as_json)
            if as_json:
                _print_json(checks=[one.plain() for one in found], objects=changes)
            return
        if blocked:
            raise PlatformError(
                f"the cluster lacks {', '.join(one.name for one in blocked)}",
                hint="; ".join(one.remedy for one in blocked if one.remedy)
                or "touchstone install --plan says more",
            )
        _apply(api, known, objects, secrets, timeout, write, as_json=as_json)


def _values(
    file: Path | None, flags: dict[str, Any], write: Path | None, *, needed: bool
) -> Installation | None:
    """The installation's values; None where some are missing and need not be known."""
    from touchstone.install import values

    places = [file] if file else [Path(values.FILE), *([write / values.FILE] if write else [])]
    found = next((one for one in places if file or one.exists()), None)
    base = values.read(found) if found else None
    asked = {"registry": "Where do models' images go (registry/folder)",
             "gitops": "URL of the GitOps repository, which says what is served"}  # fmt: skip
    missing = [name for name in asked if base is None and name not in flags]
    if missing and not needed:
        return None
    if missing and not sys.stdin.isatty():
        raise UsageError(
            f"got no {' and no '.join(missing)}, expected both",
            hint=f"--{' … --'.join(missing)} …, or a file {values.FILE} that has them",
        )
    answers = {name: typer.prompt(asked[name], err=True) for name in missing}
    return values.given({**flags, **answers}, base)


def _write(folder: Path, known: Installation) -> list[Path]:
    from touchstone.install import first, overlay

    first.write(folder / first.FOLDER, known, "")
    return overlay.write(folder, known)


def _told_written(folder: Path, files: list[Path], *, as_json: bool) -> None:
    if as_json:
        _print_json(folder=str(folder), files=[str(one.relative_to(folder)) for one in files])
        return
    typer.echo(f"wrote {len(files)} files into {folder}; none of them holds a secret")
    typer.echo(f"next: touchstone install --write {folder} --apply, or commit and push it:")
    typer.echo(f"  {folder}/README.md says how Argo CD owns it, and how the Secrets are made")


def _checked(api: Api, known: Installation | None, overlay: str) -> list[Check]:
    from touchstone.install import checks

    if known is None:
        return checks.cluster(api, overlay=overlay)
    found = checks.cluster(api, overlay=known.overlay, storage_class=known.storage_class)
    return [*found, *checks.placeholders(known)]


def show(found: list[Check]) -> None:
    """Print what was looked at: what is missing last, with what to type."""
    order = {"ok": 0, "unknown": 1, "optional": 2, "missing": 3}
    width = max(len(one.name) for one in found)
    for one in sorted(found, key=lambda check: order[check.state]):
        typer.echo(f"{one.state:<8}  {one.name:<{width}}  {one.said}")
        if one.remedy and one.state != "ok":
            typer.echo(f"{'':<8}  {'':<{width}}  {one.remedy}")


def _told_unknown(found: list[Check], *, as_json: bool) -> None:
    if as_json:
        _print_json(checks=[one.plain() for one in found], objects=[])
        return
    typer.echo("\n--registry and --gitops, or a file of values, say what would be made")


def _objects(folder: Path) -> list[dict[str, Any]]:
    from touchstone.install import render

    return render.objects(folder)


def _planned(
    api: Api,
    known: Installation,
    objects: list[dict[str, Any]],
    blocked: list[Check],
    *,
    as_json: bool,
) -> list[dict[str, str]]:
    from touchstone.install import apply, checks

    permitted = checks.permissions(api, apply.kinds(objects))
    if not as_json:
        typer.echo()
        show(permitted)
    if blocked or permitted[0].state == "missing":
        changes = [apply.Change(one, "new") for one in objects]
    else:
        changes = apply.Applier(api, objects, known.namespace).plan()
    if not as_json:
        _summary(changes, "would be")
    return [one.plain() for one in changes]


def _summary(changes: list[Any], verb: str) -> None:
    for outcome in ("new", "changed"):
        kinds = Counter(one.document["kind"] for one in changes if one.outcome == outcome)
        if kinds:
            told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            typer.echo(f"{verb} {'made' if outcome == 'new' else outcome}: {told}")
    count = Counter(one.outcome for one in changes)
    typer.echo(f"{count['unchanged']} unchanged")
    for why, number in Counter(one.why for one in changes if one.outcome == "skipped").items():
        typer.echo(f"skipped {number}: {why}")


def _apply(
    api: Api,
    known: Installation,
    objects: list[dict[str, Any]],
    folder: Path | None,
    seconds: float,
    write: Path | None,
    *,
    as_json: bool,
) -> None:
    from touchstone.install import apply, first, secrets
    from touchstone.install.api import shown

    def say(line: str) -> None:
        typer.echo(line, err=as_json)

    applier = apply.Applier(api, objects, known.namespace)
    changes = list(applier.apply(namespaces=True))
    made = secrets.ensure(api, secrets.namespaces(objects), known, folder)
    for name in made.drawn:
        say(f"made {name}")
    for name in made.given:
        say(f"took {name} from {folder}")
    for change in applier.apply(namespaces=False):
        changes.append(change)
        if change.outcome in ("new", "changed"):
            say(f"{change.outcome} {shown(change.document)}")
    recorder = secrets.recorder(api, secrets.namespaces(objects))
    try:
        notes = first.lay_out(known, recorder, secrets.pushing(api, known))
    except PlatformError as error:
        notes = [f"{known.gitops} was not looked at, as it cannot be reached from here: {error}"]
        if write is not None:
            first.write(write / first.FOLDER, known, recorder)
            notes.append(f"push {write / first.FOLDER} to it, where it is empty")
    for note in notes:
        say(note)
    apply.wait(api, applier.objects, seconds=seconds, say=say)
    absent = [
        {"secret": f"{where}/{one.name}", "use": one.use, "needed": one.needed,
         "command": one.command(where)}
        for where, one in made.absent
    ]  # fmt: skip
    if as_json:
        told = [one.plain() for one in changes]
        _print_json(objects=told, made=made.drawn, kept=made.kept, absent=absent, notes=notes)
        return
    _summary(changes, "were")
    for one in absent:
        state = "missing  " if one["needed"] else "not given"
        typer.echo(f"{state}  Secret {one['secret']}: {one['use']}")
        if one["needed"]:
            typer.echo(f"{'':<9}  {one['command']}")
    _told_webhook(known)


def _told_webhook(known: Installation) -> None:
    """Where the forge posts to, and with what."""
    inside = f"http://el-touchstone.{known.namespace}.svc:8080/"
    where = f"https://{known.domain}/" if known.domain else inside
    typer.echo(f"\nnext: a webhook of {known.forge} to {where}, JSON, signed with")
    typer.echo(
        f"  kubectl get secret {known.webhook} -n {known.namespace} -o"
        " go-template='{{.data.token | base64decode}}'"
    )
    typer.echo("then push a model; touchstone doctor says how all of it is")


def _print_json(**document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))


def uninstall(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where its runs live.")
    ] = "touchstone",
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep keys, credentials and the store's volume.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until all is gone.")] = 300,
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Take an installation away: every object that it made, in all namespaces and in none.

    Objects of others that it wrote into lose what it wrote. Controllers that it uses stay, as do
    registry, object store and git repositories.

    \b
    Examples:
      touchstone uninstall
      touchstone uninstall --keep-data --yes
    """
    from touchstone.install import uninstall as away
    from touchstone.install.api import Api, shown

    api = Api.connect(kubeconfig, context)
    found = away.find(api, namespace)
    if not as_json:
        kinds = Counter(one["kind"] for one in found.own)
        typer.echo(
            ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
        )
    if found.unseen and not as_json:
        typer.echo(f"you may not list {', '.join(sorted(set(found.unseen)))}", err=True)
    if not yes and (found.own or found.shared):
        for one in found.served:
            typer.echo(f"is served, and would be no more: {shown(one)}", err=True)
        kept = "keys, credentials and the store stay" if keep_data else "with keys and artifacts"
        if not sys.stdin.isatty():
            raise UsageError(
                f"got no answer to whether {len(found.own)} objects are to go, {kept}",
                hint="--yes says so",
            )
        typer.confirm(f"Delete {len(found.own)} objects, {kept}?", abort=True, err=True)
    kept_objects = away.remove(
        api, namespace, found, keep_data=keep_data, seconds=timeout,
        say=lambda line: typer.echo(line, err=as_json),
    )  # fmt: skip
    left = [] if keep_data else away.find(api, namespace).own
    if as_json:
        _print_json(
            deleted=len(found.own) + len(found.needed) - len(kept_objects),
            kept=[shown(one) for one in kept_objects],
            left=[shown(one) for one in left],
        )
        return
    for one in kept_objects:
        typer.echo(f"kept {shown(one)}")
    typer.echo("nothing of it is left" if not kept_objects and not left else "the rest is gone")
