"""What every command has in common: an example, exit codes, JSON where there is news."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from touchstone import cli, commands
from touchstone.errors import UsageError
from trust_gates.visible import console

_FOR_PEOPLE = {"debug", "demo", "down", "hook post-receive", "init", "up"}
"""They start, stop or write something, or open a shell; `status --json` says what came of it."""

_JSON_ALONE = {"schema"}


def _leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(_leaves(get_command(cli._app())))
each_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `touchstone ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["touchstone", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_every_module_with_a_command_is_registered() -> None:
    files = Path(str(commands.__path__[0])).glob("*.py")
    with_command = {file.stem for file in files if "def register(" in file.read_text()}
    assert with_command == set(cli._MODULES)


@each_command
def test_help_explains_the_command_and_shows_an_example(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(monkeypatch, *path, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    _, _, example = shown.partition("Example")
    assert f"touchstone {' '.join(path)}" in example
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "help", "") or parameter.name == "help", parameter.name


@each_command
def test_what_a_machine_would_read_can_be_had_as_json(path: tuple[str, ...]) -> None:
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert ("--json" in options) is (" ".join(path) not in {*_FOR_PEOPLE, *_JSON_ALONE})


@each_command
def test_an_option_that_does_not_exist_is_a_usage_error(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(monkeypatch, *path, "--no-such-option") == 2
    assert "--no-such-option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("describe absent", 2),
        ("logs absent", 2),
        ("cancel absent", 2),
        ("rerun absent", 2),
        ("watch absent", 2),
        ("replay 7", 2),
        ("trigger absent.json", 2),
        ("gc", 2),
        ("up --port 80000", 2),
        ("up --detach --port 65535", 2),
        ("outbox retry 5", 2),
        ("predict absent", 3),
        ("review list", 3),
        ("review show absent", 3),
        ("review approve absent", 3),
        ("review reject absent --reason late", 3),
        ("validate absent.yaml", 4),
        ("run -f absent.yaml", 4),
    ],
)
def test_what_is_not_there_ends_with_the_documented_code_and_a_message(
    line: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    assert _main(monkeypatch, *line.split()) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("touchstone: ") and shown.out == ""


@pytest.mark.parametrize("line", ["status", "runs", "events", "outbox list", "outbox drop"])
def test_an_empty_home_is_valid_json_too(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    assert _main(monkeypatch, *line.split(), "--json") == 0
    json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("value", "styled"), [("", True), ("1", False)])
def test_no_color_switches_every_style_off(
    value: str, styled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    monkeypatch.setattr(stream, "isatty", lambda: True)
    console().print("text", style="red")
    assert ("\x1b[31m" in stream.getvalue()) is styled


@pytest.mark.parametrize("text", ["list=[1]", 'list=["a", null]', 'list={"k": ["v"]}'])
def test_items_of_a_param_on_the_command_line_are_texts(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(
        "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n"
        "  params: [{name: list, type: array}]\n"
        "  steps: [{name: s, image: bash, command: [echo], args: ['$(params.list[*])']}]\n"
    )
    result = CliRunner().invoke(cli._app(), ["run", "-f", "t.yaml", "-p", text])
    assert isinstance(result.exception, UsageError)
    assert "in it, expected texts" in str(result.exception)
