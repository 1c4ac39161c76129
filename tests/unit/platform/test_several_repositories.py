"""A repository for each model: its name, its hook, and which one an event means."""

import subprocess

import pytest

from touchstone.errors import UsageError
from touchstone.home import Home
from touchstone.platform import repositories


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "it's a home")
    home.prepare()
    return home


@pytest.mark.parametrize("name", ["", "Fraud", "a/b", "../x", "-x", "a.b", "x" * 43, "gitops", "é"])
def test_a_name_that_no_run_could_carry_is_refused(home, name):
    with pytest.raises(UsageError, match="expected lower case letters"):
        repositories.create(home, name)
    assert home.model_repositories == {}


def test_a_repository_is_made_once_with_a_hook_that_a_shell_can_read(home):
    repository = repositories.create(home, "fraud")
    assert home.model_repositories == {"fraud": repository}
    with pytest.raises(UsageError, match="there is a model repository fraud already"):
        repositories.create(home, "fraud")
    repositories.connect(home, "http://127.0.0.1:9")
    hook = repository / "hooks" / "post-receive"
    subprocess.run(["sh", "-n", hook], check=True)
    ran = subprocess.run([hook], input="", capture_output=True, text=True, cwd=repository)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "--url http://127.0.0.1:9/ " in hook.read_text()


def test_what_a_kill_left_half_made_is_no_repository_and_in_nobodys_way(home):
    (home.root / "git" / "fraud.partial").mkdir()
    assert home.model_repositories == {}
    repositories.create(home, "fraud")


def test_an_event_means_the_repository_of_its_name_or_the_only_one(home):
    with pytest.raises(ValueError, match="expected one of none"):
        repositories.meant(home, "vision/detector")
    repositories.create(home, "model")
    assert repositories.meant(home, "https://git.example.com/vision/detector.git") == "model"
    repositories.create(home, "detector")
    assert repositories.meant(home, "https://git.example.com/vision/detector.git") == "detector"
    assert repositories.meant(home, "vision/detector") == "detector"
    with pytest.raises(ValueError, match="got the repository 'me/x', expected one of detector, mo"):
        repositories.meant(home, "me/x")
