"""`review`: what waits for a person, what it would change, and the decision."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.completing import ModelName, models
from touchstone.errors import UsageError
from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.delivery.decisions import Reviewer
    from touchstone.delivery.review import Detail, Review

_Branch = Annotated[
    str,
    typer.Argument(
        help="The promotion's branch, its model or its version.",
        metavar="MODEL",
        autocompletion=models,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="For machines.")]
_Reviewer = Annotated[
    str,
    typer.Option(
        "--reviewer",
        help='Author of the merge, as "Name <email>"; git\'s user.name by default. What counts is'
        " the key.",
    ),
]
_Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        help="PEM file of the Ed25519 key that signs the decision; by default your own in"
        " $TOUCHSTONE_HOME/reviewer, made on first use.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group `review` to `app`."""
    group = typer.Typer(
        help="Decide what may be served: list, show, approve, reject, hold, rollback.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="review")
    group.command("list")(list_)
    group.command()(show)
    group.command()(approve)
    group.command()(reject)
    group.command()(hold)
    group.command()(unhold)
    group.command()(rollback)


def list_(
    rejected: Annotated[bool, typer.Option(help="What was rejected, and why.")] = False,
    superseded: Annotated[
        bool, typer.Option(help="What was closed because a newer version was merged.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """List the promotions that wait for a review.

    Example: touchstone review list
    """
    from touchstone.delivery import review

    home = _home()
    if rejected or superseded:
        closed = review.rejections if rejected else review.superseded
        found = closed(str(home.gitops_repository), _public_key(home))
        _print_closed(
            {k: [_plain(d) for d in v] for k, v in found.items()},
            as_json,
            "rejected" if rejected else "superseded",
        )
        return
    reviews = review.open_reviews(str(home.gitops_repository), _public_key(home))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in reviews], indent=2))
    elif not reviews:
        typer.echo("nothing waits for a review")
    for one in [] if as_json else reviews:
        typer.echo(_line(one))


def show(
    branch: _Branch,
    to: Annotated[
        Path | None, typer.Option(help="Also write its files here, to look at the pictures.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Its message, its whole trust report, its files.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show a promotion on one screen: what it changes, what decided, who decides and how.

    Example: touchstone review show object-detector --full
    """
    from touchstone.delivery import review

    home = _home()
    detail = review.show(str(home.gitops_repository), branch, _public_key(home))
    if as_json:
        found = {**asdict(detail), "decisions": [_plain(one) for one in detail.decisions]}
        typer.echo(json.dumps(found, indent=2))
    else:
        _show(detail, full)
    if to is not None:
        for file in review.export(str(home.gitops_repository), branch, to):
            typer.echo(f"wrote {file}", err=as_json)


def approve(
    branch: _Branch, reviewer: _Reviewer = "", key: _Key = None, as_json: _Json = False
) -> None:
    """Approve a promotion; the last approval that is required merges it.

    Example: touchstone review approve object-detector
    """
    from touchstone.delivery import review

    home = _home()
    url, who = str(home.gitops_repository), _who(home, reviewer, key)
    _tell(review.approve(url, branch, _public_key(home), who), as_json)


def reject(
    branch: _Branch,
    reason: Annotated[str, typer.Option(help="What must change; kept with the rejection.")],
    reviewer: _Reviewer = "",
    key: _Key = None,
    as_json: _Json = False,
) -> None:
    """Reject a promotion; the same release is not offered again.

    Example: touchstone review reject object-detector --reason "misses crosses at night"
    """
    from touchstone.delivery import review

    home = _home()
    url, who = str(home.gitops_repository), _who(home, reviewer, key)
    _tell(review.reject(url, branch, _public_key(home), who, reason=reason), as_json)


def hold(
    branch: _Branch, reviewer: _Reviewer = "", key: _Key = None, as_json: _Json = False
) -> None:
    """Keep a promotion from being merged, whoever approves, until `unhold`.

    Example: touchstone review hold object-detector
    """
    from touchstone.delivery import review

    home = _home()
    url, who = str(home.gitops_repository), _who(home, reviewer, key)
    _tell(review.hold(url, branch, _public_key(home), who), as_json)


def unhold(
    branch: _Branch, reviewer: _Reviewer = "", key: _Key = None, as_json: _Json = False
) -> None:
    """End a hold, whoever placed it.

    Example: touchstone review unhold object-detector
    """
    from touchstone.delivery import review

    home = _home()
    url, who = str(home.gitops_repository), _who(home, reviewer, key)
    _tell(review.release(url, branch, _public_key(home), who), as_json)


def rollback(
    model: ModelName,
    to: Annotated[str, typer.Option(help="The version to serve again.")],
    environment: Annotated[
        str, typer.Option(help="Where; may be left out where the model is in one alone.")
    ] = "",
    reviewer: _Reviewer = "",
    key: _Key = None,
    as_json: _Json = False,
) -> None:
    """Serve an earlier release again: open its promotion, or agree to the one that is open.

    It takes as many approvals as any promotion, and meets the environment's policy as it is now.

    Example: touchstone review rollback object-detector --to 1a2b3c4d5e6f
    """
    from touchstone.delivery import review

    home = _home()
    url, who = str(home.gitops_repository), _who(home, reviewer, key)
    _tell(review.rollback(url, model, to, _public_key(home), who, environment), as_json)


def _tell(outcome: str, as_json: bool) -> None:
    typer.echo(json.dumps({"outcome": outcome}) if as_json else outcome)


def _home() -> Home:
    home = Home.default()
    if not home.gitops_repository.exists():
        raise home.life().missing
    return home


def _public_key(home: Home) -> Path:
    return home.signing_key / "public.pem"


def _who(home: Home, text: str, key: Path | None) -> Reviewer:
    from touchstone.delivery import attestation, gitops
    from touchstone.delivery.decisions import Reviewer

    if text:
        match = re.fullmatch(r"\s*([^<>\n]+?)\s*<([^<>@\s]+@[^<>@\s]+)>\s*", text)
        if match is None:
            raise UsageError(f"got reviewer {text!r}, expected Name <email>")
        found = gitops.Identity(match[1], match[2])
    elif (caller := gitops.caller()) is not None:
        found = caller
    else:
        raise UsageError(
            "git does not know who you are, and a merge needs an author",
            hint='--reviewer "Name <email>", or git config --global user.name and user.email',
        )
    return Reviewer(identity=found, key=key or attestation.generate_keys(home.reviewer_key).private)


def _plain(decision: Any) -> dict[str, Any]:
    """A decision for machines, without the envelope that says it again."""
    return {key: value for key, value in asdict(decision).items() if key not in ("line", "person")}


def _line(review: Review) -> str:
    state = f"{review.approvals} of {review.required} approvals"
    if review.obstacles:
        state += "; cannot be merged: " + "; ".join(review.obstacles)
    if review.newer:
        state += f"; {review.newer} is newer: approving that closes this"
    return f"{review.branch}  {review.title}  ({state})"


def _show(detail: Detail, full: bool) -> None:
    from touchstone.commands.pager import page

    if not full:
        page("\n".join(_summary(detail)))
        return
    from rich.markdown import Markdown

    from trust_gates.visible import console, visible

    head = [_line(detail.review), "", detail.body.strip(), "", detail.diffstat, ""]
    tail = [f"attested {name}: {value}" for name, value in detail.review.attested.items()]
    tail += _decisions(detail)
    screen = console()
    if not screen.is_terminal:
        page("\n".join([*head, detail.report, *tail]))
        return
    text = re.sub(r"</?details>|</?summary>|<br>", " ", detail.report)
    with screen.capture() as captured:
        screen.print(Markdown(visible(text), hyperlinks=False))
    parts = (visible("\n".join(head)), captured.get(), visible("\n".join(tail)))
    page("\n".join(parts) + "\n", styled=True)


def _summary(detail: Detail) -> list[str]:
    """One screen: what changes, what was found, what waits for whom, and how to decide."""
    from trust_gates.report import brief

    review = detail.review
    lines = [review.title]
    old, new = detail.served, detail.verdict
    served = detail.served_version or "none"
    lines.append(f"version {review.version}, in the place of {served} in {review.environment}")
    try:
        told = brief.lines(new or {})
        if old is not None:
            told += ["", f"changed against {served}:", *brief.changes(old, new or {})]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # Whoever may push a branch may leave anything there.
        told = ["it holds no verdict that could be read: see --full"]
    lines += ["", *told, "", _waits(detail), *_decisions(detail)]
    return [*lines, "", *_commands(review)]


def _waits(detail: Detail) -> str:
    review = detail.review
    if review.obstacles:
        return "cannot be merged: " + "; ".join(review.obstacles)
    missing = review.required - review.approvals
    who = ", ".join(detail.may) or "someone whom people.yaml names"
    state = f"{review.approvals} of {review.required} approvals"
    text = f"{state}: waits for {missing} of: {who}" if missing > 0 else state
    return f"{text}; {review.newer} is newer" if review.newer else text


def _decisions(detail: Detail) -> list[str]:
    found = [_decision(asdict(decision)) for decision in detail.decisions]
    return found + [f"decisions: {skipped}" for skipped in detail.review.skipped]


def _commands(review: Review) -> list[str]:
    """What to type next: each names this very version, whatever is promoted meanwhile."""
    # A branch can be called anything that git allows: it is typed as one word.
    name = shlex.quote(review.branch if review.rollback else review.short)
    approve = f"approve {name}"
    if review.rollback:
        approve = f"rollback {shlex.quote(review.model)} --to {shlex.quote(review.version)}"
    return [
        f"touchstone review show {name} --full        the whole report; --to DIR its pictures",
        f"touchstone review {approve}",
        f'touchstone review reject {name} --reason "..."',
    ]


def _print_closed(closed: dict[str, list[dict[str, Any]]], as_json: bool, how: str) -> None:
    if as_json:
        typer.echo(json.dumps(closed, indent=2))
        return
    if not closed:
        typer.echo(f"nothing was {how}")
    for name, decisions in closed.items():
        typer.echo(name)
        for decision in decisions:
            typer.echo("  " + _decision(decision))


def _decision(decision: dict[str, Any]) -> str:
    reason = f": {decision['reason']}" if decision["reason"] else ""
    return f"{decision['decision']} by {decision['reviewer']} at {decision['at']}{reason}"
