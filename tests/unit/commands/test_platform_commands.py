"""`up`, `down` and `status` speak of the platform that there is, and never of a second one."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner
from waiting import free_ports

from touchstone import confine
from touchstone.cli import _app
from touchstone.commands import platform
from touchstone.errors import PlatformError
from touchstone.home import Home
from touchstone.platform import repositories


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A platform's folder; the working directory is below it."""
    monkeypatch.delenv("TOUCHSTONE_HOME", raising=False)
    home = Home(tmp_path / ".touchstone")
    home.prepare()
    repositories.create(home, "model")
    below = tmp_path / "my-model"
    below.mkdir()
    monkeypatch.chdir(below)
    return home


def touchstone(*arguments: str) -> str:
    result = CliRunner().invoke(_app(), arguments)
    if result.exception:
        raise result.exception
    return result.stdout


def kill(home: Home) -> None:
    """Leave what a platform that was killed leaves."""
    document = {"pid": 4, "started": 0.0, "listener": "http://127.0.0.1:8470"}
    home.platform_file.write_text(json.dumps(document))


def test_up_below_a_platform_starts_that_one_and_says_so(home, monkeypatch):
    monkeypatch.setattr(confine, "require", lambda: None)
    monkeypatch.setattr(platform, "_start_detached", lambda *_: None)
    said = touchstone("up", "--detach", f"--port={free_ports()}")
    assert said.startswith(f"using {home.root}; for another one: ")
    assert said.endswith(
        "next: push a model; touchstone init my-model writes one to start from\n"
        f"  git push {home.model_repository} main\n"
    )


def test_status_and_down_tell_a_platform_that_died_from_one_that_never_ran(home):
    for command in ("status", "down"):
        assert touchstone(command).startswith(f"no platform runs in {home.root}")
    kill(home)
    for command in ("status", "down"):
        assert touchstone(command).startswith(f"the platform in {home.root} died (process 4 is go")
    assert "touchstone up --detach starts it again, unfinished runs go on" in touchstone("status")
    assert json.loads(touchstone("status", "--json"))["state"] == "dead"


def test_a_command_that_needs_a_dead_platform_says_how_it_goes_on(home):
    kill(home)
    with pytest.raises(PlatformError, match="died") as caught:
        touchstone("predict", "absent")
    assert "starts it again" in caught.value.hint


def test_what_lies_in_the_working_directory_is_none_of_our_code(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    (clone / "touchstone").mkdir(parents=True)
    for file in (clone / "touchstone" / "__init__.py", clone / "typer.py"):
        file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(clone)
    home = Home(tmp_path / "home")
    with pytest.raises(PlatformError, match="ended with 2"):
        platform._start_detached(home, ["--no-such-option"])
    assert not (tmp_path / "ran").exists()
    hook = (repositories.create(home, "mine") / "hooks" / "post-receive").read_text()
    assert " -P -m touchstone " in hook
