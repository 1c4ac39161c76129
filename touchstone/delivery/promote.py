"""From a passed verdict to a branch of the GitOps repository: the embedded pull request."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from touchstone.artifacts.store import Store, digest_bytes
from touchstone.delivery import admission, attestation, floors, gitops, repositories, scope
from touchstone.delivery.environment import below, read_policy
from touchstone.delivery.release import (
    ATTESTATION_FILE,
    RELEASE_FILE,
    REPORT_FILE,
    SERVICE_FILE,
    VERSION_LENGTH,
    Digests,
    Release,
    Serve,
    image_reference,
    inference_service,
    subjects,
    to_yaml,
)
from touchstone.errors import ManifestError, ModelRefusedError, TouchstoneError
from trust_gates.report.asked import Yardstick
from trust_gates.verdict import UNCONFINED, Outcome, Required
from trust_gates.visible import escape, one_line
from trust_gates.written import number

BRANCH_PREFIX = "promote/"
RELEASE_TRAILER = "Touchstone-Release"
TRACE_TRAILER = "Touchstone-Traceparent"
"""Of the release's commit: the W3C trace context that it came about in."""

Render = Callable[[Mapping[str, Any], Mapping[str, bytes]], Mapping[str, bytes]]
"""The files of the trust report by name, from the verdict document and the pictures by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a run hands over for promotion."""

    model: str
    """The model's name."""
    repository: str
    """URL that the model repository was fetched from."""
    commit: str
    image_url: str
    image_digest: str
    image_context: str
    """Digest of the tree that the image was built from."""
    digests: Digests
    serve: Serve
    environments: Sequence[str]
    """All environments of the model, in order; the first is promoted to."""
    traceparent: str = ""
    """The trace that the run is part of; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What became of a promotion."""

    branch: str
    release: str
    """Digest of release.json in the artifact store."""
    note: str
    """In words: opened, already open, already merged."""


def promote(
    candidate: Candidate, *, store: Store, gitops_url: str, key: Path, render: Render
) -> Promotion:
    """Put the candidate's release on its branch. Done twice, it changes nothing the second time.

    Raises:
        ModelRefusedError: the verdict did not pass; nothing was written.
        ManifestError: the environment's floor is above what the verdict's policies asked for, or
            there is no such environment.
        TouchstoneError: the verdict is about something else, a reviewer rejected this release, or
            the model's name belongs to another repository.
        PlatformError: git or the artifact store failed.
    """
    verdict = store.get_json(candidate.digests.verdict)
    _check_verdict(verdict, candidate)
    files = report_files(verdict, store, render)
    release = _release(candidate, verdict, files, store.remote)
    for attempt in gitops.outrun():
        with attempt, gitops.clone(gitops_url) as checkout:
            if checkout.commit_of(f"origin/{gitops.MAIN}") is None:
                gitops.ensure_main(checkout, candidate.environments)
            floors.check_known(checkout, tuple(candidate.environments))
            admission.check_name(checkout, release, f"origin/{gitops.MAIN}", key)
            return _publish(checkout, candidate, release, files, verdict, store, key)
    raise AssertionError("tenacity reraises the last failure")


def _publish(
    checkout: gitops.Checkout,
    candidate: Candidate,
    release: Release,
    files: Mapping[str, bytes],
    verdict: Mapping[str, Any],
    store: Store,
    key: Path,
) -> Promotion:
    environment = candidate.environments[0]
    branch = f"{BRANCH_PREFIX}{release.model}/{release.version}"
    folder = gitops.folder_of(environment, release.model)
    main, remote = f"origin/{gitops.MAIN}", f"origin/{branch}"
    if obstacles := below(read_policy(checkout, environment), verdict, environment=environment):
        raise ManifestError(
            "\n".join(obstacles),
            hint="environment.yaml on main of the GitOps repository says what may enter; ask for"
            " as much in touchstone.yaml, and push",
        )

    if found := _find(checkout, main, folder, release):
        return Promotion(branch=branch, release=store.put_bytes(found), note="already merged")
    rejected = f"{gitops.REJECTED}/{release.model}/{release.version}"
    if checkout.commit_of(rejected) and _find(checkout, rejected, folder, release):
        raise TouchstoneError(
            f"{release.model} {release.version} was rejected by a reviewer, so it is not offered"
            " again",
            hint="`touchstone review list --rejected` says why; push a new commit",
        )
    tip = checkout.commit_of(remote)
    if (
        tip
        and (found := _find(checkout, remote, folder, release))
        and checkout.merges_cleanly(main, remote)
    ):
        return Promotion(branch=branch, release=store.put_bytes(found), note="already open")

    checkout.git("checkout", "--quiet", "-B", branch, main)
    _write(checkout, folder, candidate, release, files, verdict, key)
    checkout.commit(
        _body(release, environment, verdict),
        {
            RELEASE_TRAILER: release.identity,
            "Touchstone-Model": release.digests.model,
            "Touchstone-Verdict": release.digests.verdict,
            "Source-Commit": release.commit,
            **({TRACE_TRAILER: candidate.traceparent} if candidate.traceparent else {}),
        },
    )
    scope.environment(checkout.changed(main, "HEAD"), release.model)
    lease = f"refs/heads/{branch}:{tip or ''}"
    checkout.push(f"+HEAD:refs/heads/{branch}", force_with_lease=lease)
    digest = store.put_bytes(release.to_text().encode())
    return Promotion(branch=branch, release=digest, note="updated" if tip else "opened")


def _find(checkout: gitops.Checkout, reference: str, folder: str, release: Release) -> bytes | None:
    """release.json of the commit reachable from `reference` that carries this very release."""
    trailer = f"^{RELEASE_TRAILER}: {release.identity}$"
    commit = checkout.git("log", "-1", "--format=%H", f"--grep={trailer}", reference)
    return checkout.read(commit, f"{folder}/{RELEASE_FILE}") if commit else None


def _check_verdict(verdict: Mapping[str, Any], candidate: Candidate) -> None:
    if verdict.get("passed") is not True:
        failed = [describe(check) for check in failed_checks(verdict)]
        raise ModelRefusedError(
            "the verdict did not pass: " + ("; ".join(failed) or "no check is named"),
            hint="a model is promoted only on a passed verdict",
        )
    unconfined = [gate for gate, how in verdict["askedAs"].items() if UNCONFINED in how]
    if unconfined:
        raise ModelRefusedError(
            f"the model's code was not confined while {', '.join(unconfined)} judged it, so it"
            " could have made its own verdict",
            hint="judge it where code can be confined, or train a network that torch.export can"
            " write as a graph",
        )
    expected = {"model": candidate.digests.model, "commit": candidate.commit}
    for name, value in expected.items():
        if verdict.get(name) != value:
            raise TouchstoneError(
                f"the verdict is about {name} {verdict.get(name)}, expected {value}",
                hint="pass the digests of one and the same run",
            )


def failed_checks(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The checks of a verdict document that did not pass; those that failed come first."""
    found = [check for check in verdict.get("checks", []) if check["outcome"] != "passed"]
    return sorted(found, key=lambda check: Outcome(check["outcome"]).rank)


def describe(check: Mapping[str, Any]) -> str:
    """`refused by fairness: theil_index got 0.31, expected <= 0.2` and the like, in one line."""
    bounds = {side: value for side, value in check["required"].items() if value is not None}
    measured = "NaN" if check["measured"] is None else number(check["measured"], 3)
    expected = Required(**bounds)
    text = one_line(f"{check['gate']}: {check['name']} got {measured}, expected {expected}")
    if check["outcome"] == "failed":
        return text
    needed = check.get("samplesNeeded")
    return f"{text} ({check['outcome']}" + (f", needs about {needed} samples)" if needed else ")")


def report_files(verdict: Mapping[str, Any], store: Store, render: Render) -> dict[str, bytes]:
    """The trust report in all its forms, and its pictures, by file name."""
    pictures: dict[str, bytes] = {}
    evidence = verdict.get("evidence", [])
    for digest in evidence.values() if isinstance(evidence, Mapping) else evidence:
        with tempfile.TemporaryDirectory() as folder:
            for picture in sorted(store.get(digest, Path(folder) / "tree").glob("*.png")):
                pictures[picture.name] = picture.read_bytes()
    return dict(render(verdict, pictures))


def _release(
    candidate: Candidate, verdict: Mapping[str, Any], files: Mapping[str, bytes], where: str
) -> Release:
    release = Release(
        model=candidate.model,
        repository=repositories.shown(candidate.repository),
        environments=tuple(candidate.environments),
        version=candidate.commit[:VERSION_LENGTH],
        commit=candidate.commit,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        image=image_reference(candidate.image_url, candidate.image_digest),
        digests=candidate.digests,
        policy=verdict["policy"],
        floor=verdict.get("floor") or "",
        serve=candidate.serve,
        store=where,
    )
    rendered = {**files, SERVICE_FILE: _service(release)}
    digests = {name: digest_bytes(data) for name, data in sorted(rendered.items())}
    return release.model_copy(update={"files": digests})


def _service(release: Release) -> bytes:
    return to_yaml(inference_service(release)).encode()


def _write(
    checkout: gitops.Checkout,
    folder: str,
    candidate: Candidate,
    release: Release,
    files: Mapping[str, bytes],
    verdict: Mapping[str, Any],
    key: Path,
) -> None:
    text = release.to_text().encode()
    statements = _statements(candidate, release, subjects(release, text), verdict)
    signed = attestation.sign(statements, key)
    checkout.replace_folder(
        folder,
        {
            **files,
            SERVICE_FILE: _service(release),
            RELEASE_FILE: text,
            ATTESTATION_FILE: signed.encode(),
        },
    )


def _statements(
    candidate: Candidate,
    release: Release,
    about: Mapping[str, str],
    verdict: Mapping[str, Any],
) -> list[dict[str, Any]]:
    materials = {
        f"git+model:{release.model}": release.commit,
        "touchstone:source": release.digests.source,
        "touchstone:image": candidate.image_digest,
        "touchstone:image-context": candidate.image_context,
    }
    for name in ("data", "dataset"):
        if value := verdict.get(name):
            materials[f"touchstone:{name}"] = value
    checks = verdict.get("checks", [])
    return [
        attestation.provenance(
            about,
            parameters=release.parameters,
            materials=materials,
            finished=release.created,
        ),
        attestation.test_result(
            about,
            passed=[f"{c['gate']}: {c['name']}" for c in checks if c["outcome"] == "passed"],
            failed=[f"{c['gate']}: {c['name']}" for c in failed_checks(verdict)],
            configuration=release.judged_by,
        ),
    ]


def _body(release: Release, environment: str, verdict: Mapping[str, Any]) -> str:
    lines = [
        f"Promote {release.model} {release.version} to {environment}",
        "",
        f"{release.model} at commit {release.commit} passed every gate.",
        "",
        *_yardstick(verdict),
        *_remedy(verdict),
        "What was found:",
        "",
        *_listed(verdict.get("checks", [])),
        "",
        f"See {REPORT_FILE} for the figures and the pictures; the .html beside it works offline.",
    ]
    return "\n".join(lines)


def _yardstick(verdict: Mapping[str, Any]) -> list[str]:
    """What was asked, before what was found: a reviewer decides on both."""
    asked = Yardstick.of(verdict)
    lines = ["What was asked:", "", *(f"- {escape(line)}" for line in asked.lines()), ""]
    if asked.counted:
        warnings = (f"- {escape(text)}" for text in asked.every_warning)
        lines += [f"{asked.counted}:", "", *warnings, ""]
    return lines


def _remedy(verdict: Mapping[str, Any]) -> list[str]:
    if not (before := verdict.get("previous")):
        return []
    remedy, run = escape(before["remedy"]), escape(before["run"])
    text = f"It was trained with {remedy} after {run} was refused:"
    return [text, "", *_listed(failed_checks(before)), ""]


def _listed(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of Markdown a check, whatever its name is made of."""
    return [
        f"- {describe({**c, 'gate': escape(c['gate']), 'name': escape(c['name'])})}" for c in checks
    ]
