"""$TOUCHSTONE_HOME is laid out once, and its secrets are the owner's alone."""

import json
import os
import stat

import psutil
import pytest

from touchstone.errors import PlatformError
from touchstone.home import Home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_preparing_again_keeps_the_secret(home):
    token = home.secret("touchstone-webhook", "token")
    home.prepare()
    assert home.secret("touchstone-webhook", "token") == token
    assert len(token) == 64


def test_nobody_else_can_read_the_secrets(home):
    assert stat.S_IMODE(home.webhook_token.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.webhook_token.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_an_absent_secret_is_named_with_its_place(home):
    with pytest.raises(PlatformError, match="secret touchstone-webhook has no key nothing"):
        home.secret("touchstone-webhook", "nothing")


def test_the_environment_chooses_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path))
    assert Home.default().root == tmp_path
    monkeypatch.delenv("TOUCHSTONE_HOME")
    monkeypatch.chdir(tmp_path)
    assert Home.default().root == tmp_path / ".touchstone"


def test_a_platform_that_was_killed_does_not_count_as_running(home):
    own = psutil.Process()
    assert home.platform() is None
    home.platform_file.write_text(json.dumps({"pid": os.getpid(), "started": own.create_time()}))
    assert home.platform()["pid"] == os.getpid()
    # The same process number, but created at another time: a stranger.
    home.platform_file.write_text(
        json.dumps({"pid": os.getpid(), "started": own.create_time() - 100})
    )
    assert home.platform() is None
