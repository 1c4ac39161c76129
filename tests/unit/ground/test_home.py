"""$TOUCHSTONE_HOME is laid out once, and its secrets are the owner's alone."""

import json
import os
import stat

import psutil
import pytest

from touchstone.errors import PlatformError
from touchstone.git import git
from touchstone.home import Home, Is


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


@pytest.fixture
def found(monkeypatch, tmp_path):
    """A home called .touchstone, with the working directory two folders below its own."""
    monkeypatch.delenv("TOUCHSTONE_HOME", raising=False)
    home = Home(tmp_path / ".touchstone")
    home.prepare()
    below = tmp_path / "my-model" / "src"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return home


def test_a_platform_is_found_from_any_folder_below_it(found):
    assert Home.default() == found


def test_the_nearest_one_is_taken_and_an_empty_folder_is_none(found, tmp_path):
    nearer = tmp_path / "my-model" / ".touchstone"
    nearer.mkdir(mode=0o1700)
    assert Home.default() == found
    (nearer / "run").mkdir()
    (nearer / "run" / "state.sqlite").touch()
    assert Home.default() == Home(nearer)


def test_one_of_somebody_else_is_never_found_and_never_used_unasked(found, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert Home.default() == Home(tmp_path / "my-model" / "src" / ".touchstone")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlatformError, match="somebody else's"):
        Home.default()
    monkeypatch.setenv("TOUCHSTONE_HOME", str(found.root))
    assert Home.default() == found


@pytest.mark.parametrize("mark", ["git/gitops.git/HEAD", "run/state.sqlite", "state.sqlite"])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_one_that_a_clone_has_brought_along_is_not_used(found, tmp_path, monkeypatch, mark, umask):
    source = tmp_path / "source"
    for file in (source / ".touchstone" / mark, source / ".touchstone" / "secrets" / "token"):
        file.parent.mkdir(parents=True)
        file.write_text("known")
    git("init", "--quiet", str(source))
    git("add", "--all", cwd=source)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "x", cwd=source)
    before = os.umask(umask)
    git("clone", "--quiet", str(source), str(tmp_path / "my-model" / "clone"))
    os.umask(before)
    clone = tmp_path / "my-model" / "clone"
    (clone / "src").mkdir()
    monkeypatch.chdir(clone / "src")
    assert Home.default() == found
    if "/" in mark:
        monkeypatch.chdir(clone)
        assert Home.default() == found
    found.root.rename(tmp_path / "gone")
    monkeypatch.chdir(clone)
    with pytest.raises(PlatformError, match=r"others may enter \(mode 755\)|did not make") as got:
        Home.default()
    assert got.value.hint.endswith("chmod 1700 .touchstone")
    (clone / ".touchstone").chmod(0o1700)
    assert Home.default().root == clone / ".touchstone"


def test_a_folder_that_was_there_before_becomes_private_with_its_first_use(tmp_path, monkeypatch):
    monkeypatch.delenv("TOUCHSTONE_HOME", raising=False)
    (tmp_path / ".touchstone").mkdir(mode=0o755)
    monkeypatch.chdir(tmp_path)
    Home.default().prepare()
    assert stat.S_IMODE(Home.default().root.stat().st_mode) == 0o1700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_that_somebody_else_planted_leads_nowhere(found, tmp_path):
    planted = tmp_path / "my-model" / ".touchstone"
    planted.symlink_to(tmp_path / "other")
    Home(tmp_path / "other").prepare()
    assert Home.default() == found
    (tmp_path / "other").chmod(0o1700)
    assert Home.default() == Home(tmp_path / "other")
    os.lchown(planted, 12345, 12345)
    assert Home.default() == found


def test_one_that_was_killed_is_told_from_one_that_ended_or_never_ran(home):
    assert home.life().state is Is.DOWN
    assert home.life().remedy == "touchstone up --detach starts one"
    document = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    home.platform_file.write_text(json.dumps(document))
    assert home.life().state is Is.RUNNING
    document |= {"started": 0, "listener": "http://127.0.0.1:9000"}
    home.platform_file.write_text(json.dumps(document))
    assert home.life().state is Is.DEAD
    assert str(home.life()) == f"the platform in {home.root} died (process {os.getpid()} is gone)"
    expected = "touchstone up --detach --port 9000 starts it again, unfinished runs go on"
    assert home.life().missing.hint == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "started": 0}'])
def test_a_broken_platform_file_counts_as_none(home, text):
    home.platform_file.write_text(text)
    assert home.life().state is Is.DOWN
