"""`watch`: follow a run to its end, live on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.commands.completing import RunName
from touchstone.commands.where import Context, Kubeconfig, Namespace, where
from touchstone.errors import DeadlineError, ModelRefusedError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from touchstone.commands.where import Where
    from touchstone.runs.lookup import Found, Kept
    from touchstone.runs.view import Stage, View

_MARKS = {"running": "…", "succeeded": "✓", "failed": "✗", "refused": "✗", "skipped": "-"}
_STYLES = {"succeeded": "green", "failed": "red", "refused": "red", "skipped": "dim"}

_SELDOM = 10.0
"""Seconds between two lines of one stage's progress where there is no terminal."""

_LEAST = 32
"""Columns that what a stage says has at least; names are shortened for it."""

_BELOW = 4
"""Columns before the lines of an error that does not fit beside its stage."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(watch)


def watch(
    run: RunName = "",
    model: Annotated[str, typer.Option(help="The newest run of this model.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for its end.")] = 3600,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the end state only.")] = False,
) -> None:
    """Follow a run to its end; exit 0 when it succeeded, 5 when a gate refused the model.

    Exit 3 when nothing executes it any more.

    Example: touchstone watch model-1a2b3c
    """
    place = where(kubeconfig, context, namespace)
    if not run:
        place.settle()
    name = place.find(run, model=model).run.name
    final = follow(place, name, timeout=timeout, quiet=as_json)
    if as_json:
        typer.echo(json.dumps({**asdict(final), "exitCode": final.exit_code}, indent=2))
    elif final.exit_code == ModelRefusedError.exit_code:
        typer.echo(f"touchstone report {final.run} shows why")
    raise typer.Exit(final.exit_code)


def follow(place: Where, name: str, *, timeout: float, quiet: bool = False) -> View:
    """Show the run until it ends; return how it ended.

    Raises:
        UsageError: there is no run of that name.
        PlatformError: nothing executes it any more, and nothing will.
        DeadlineError: it had not ended after `timeout` seconds.
    """
    from trust_gates.visible import console, on_terminal

    screen = console(quiet=quiet)
    if on_terminal() and not screen.is_dumb_terminal and not quiet:
        return _live(place, name, timeout, screen)
    return _plain(place, name, timeout, screen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    view: View
    waits: str
    """Why it has not begun, or nobody executes it; empty while it goes on."""


def _moments(place: Where, name: str, timeout: float) -> Iterator[_Moment]:
    from touchstone.commands.describe import TAIL
    from touchstone.runs.lookup import Found
    from touchstone.runs.view import view

    found = place.find(name)
    place.follow(found, tail=TAIL)
    deadline = time.monotonic() + timeout
    while True:
        run = found.run
        yield _Moment(
            view=view(found.place.state, run, found.place.logs),
            waits="" if run.done else _waits(place, found),
        )
        if run.done:
            return
        place.ask_on(found)
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"run {run.name} had not ended after {timeout:g} s",
                hint=f"touchstone watch {run.name} goes on; --timeout waits longer",
            )
        time.sleep(0.2)
        run = found.place.state.run(run.name) or run  # gc may have removed it meanwhile
        found = Found(found.place, run)


def _waits(place: Where, found: Found[Kept]) -> str:
    from touchstone.runs.lookup import status_word

    word = status_word(found)
    if word not in ("Queued", "Interrupted"):
        return ""
    reason = place.waits().get(found.run.name, "")
    return f"{word}: {reason}" if reason else word


def _live(place: Where, name: str, timeout: float, screen: Console) -> View:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    final, lines = None, list[Text]()
    try:
        with Live(console=screen, refresh_per_second=5, transient=True) as live:
            for now in _moments(place, name, timeout):
                final, lines = now.view, _lines(now.view, now.waits, screen)
                # The newest stages are below: where not all of them fit, the first give way.
                spare = len(lines) - max(2, screen.height - 1)
                live.update(Group(*([lines[0], *lines[1 + spare :]] if spare > 0 else lines)))
    finally:
        for line in lines:  # all of them now, also where it was left early
            screen.print(line, no_wrap=True, crop=False)
    assert final is not None  # noqa: S101  _moments yields at least once or raises
    _tell_more(final, screen)
    return final


def _plain(place: Where, name: str, timeout: float, screen: Console) -> View:
    final, told = None, _Told(screen)
    for now in _moments(place, name, timeout):
        told.tell(now)
        final = now.view
    assert final is not None  # noqa: S101  _moments yields at least once or raises
    screen.print(f"{final.run}: {final.reason}  {final.message}", soft_wrap=True)
    _tell_more(final, screen)
    return final


@dataclass(slots=True)
class _Told:
    """Prints one line for what changed since the last time, and progress only now and then."""

    screen: Console
    _states: dict[str, str] = field(default_factory=dict)
    _progress: dict[str, tuple[float, str]] = field(default_factory=dict)
    _waits: str = ""

    def tell(self, now: _Moment) -> None:
        """Print what is new."""
        if now.waits != self._waits:
            self._waits = now.waits
            self._say(f"{now.view.run}: {now.waits or 'is taken up'}")
        for stage in now.view.stages:
            if self._states.get(stage.name) != stage.state:
                self._states[stage.name] = stage.state
                self._tell_state(stage)
            elif stage.progress and self._is_due(stage):
                self._progress[stage.name] = (time.monotonic(), stage.progress)
                self._say(f"{stage.name}: {stage.progress}")

    def _is_due(self, stage: Stage) -> bool:
        when, what = self._progress.get(stage.name, (0.0, ""))
        return what != stage.progress and time.monotonic() - when > _SELDOM

    def _tell_state(self, stage: Stage) -> None:
        if stage.state == "running":
            self._say(f"{stage.name}: running")
        else:
            seconds = _seconds(stage)
            told = f"{stage.name}: {_word(stage)}" + (f" {seconds}" if seconds else "")
            self._say(f"{told}  {_said(stage)}")
            for line in stage.error[1:]:
                self._say(f"  {line}")

    def _say(self, text: str) -> None:
        self.screen.print(text, soft_wrap=True)


def _tell_more(view: View, screen: Console) -> None:
    """Where to look, of every stage that failed; a refusal has said itself which checks."""
    for stage in view.stages:
        if stage.state == "failed":
            screen.print(f"see more: touchstone logs {view.run} {stage.name}", soft_wrap=True)


def _word(stage: Stage) -> str:
    """How the stage stands, in a word; of a gate what it found."""
    if stage.cached_from:
        return "cached"
    if stage.outcome and stage.state == "succeeded":
        return stage.outcome
    return stage.state


def _seconds(stage: Stage) -> str:
    return "" if stage.state == "skipped" or stage.cached_from else f"{stage.seconds:.0f} s"


def _said(stage: Stage) -> str:
    """What a stage says; of one from the cache first whose results they are."""
    if not stage.cached_from:
        return stage.detail
    found = f"{stage.outcome}: " if stage.outcome not in ("", "passed") else ""
    return f"from run {stage.cached_from}  {found}{stage.detail}".rstrip()


def _lines(view: View, waits: str, screen: Console) -> list[Text]:
    """The run as lines that fit the screen: mark, stage, time and what there is to say of it.

    A reason is folded, never cut: why it was skipped, how it failed, the check that decided.
    """
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    from touchstone.commands.fitted import begun, folded, middle

    width = screen.width
    so_far = "" if view.done else f", {view.ended} of {view.planned} stages have ended"
    how = waits or view.reason + so_far
    if (room := width - cell_len(how) - 2) >= _LEAST:
        lines = [Text(f"{middle(view.run, room)}  {how}", style="bold")]
    else:
        lines = [Text(middle(view.run, width), style="bold"), *folded(how, screen, width)]
    longest = max((cell_len(stage.name) for stage in view.stages), default=0)
    times = max((len(_time(stage)) for stage in view.stages), default=0)
    names = max(8, min(longest, width - times - 6 - _LEAST))
    for stage in view.stages:
        style = _style(stage)
        name = set_cell_size(middle(stage.name, names), names)
        before = Text.assemble((_mark(stage), style), f" {name}  {_time(stage):>{times}}  ")
        room = width - before.cell_len
        below: list[Text] = []
        if any(cell_len(text) > room for text in stage.error):
            said = [Text(_word(stage))]
            below = [one for text in stage.error for one in folded(text, screen, width - _BELOW)]
        elif stage.error:
            said = [line for text in stage.error for line in folded(text, screen, room)]
        elif stage.state in ("failed", "refused", "skipped") or stage.outcome:
            said = folded(_said(stage), screen, room)
        else:
            said = [Text(begun(_said(stage), room))]
        lines.append(before + said[0])
        lines += [Text(" " * before.cell_len) + line for line in said[1:]]
        lines += [Text(" " * _BELOW) + line for line in below]
    return lines


def _time(stage: Stage) -> str:
    return "cached" if stage.cached_from else _seconds(stage)


def _mark(stage: Stage) -> str:
    if stage.state == "succeeded" and stage.outcome not in ("", "passed"):
        return "✗"  # the stage did its work, and the model did not pass it
    return "≡" if stage.cached_from else _MARKS[stage.state]


def _style(stage: Stage) -> str:
    if stage.state == "succeeded" and stage.outcome not in ("", "passed"):
        return "red" if stage.outcome == "failed" else "yellow"
    return "cyan" if stage.cached_from else _STYLES.get(stage.state, "")
