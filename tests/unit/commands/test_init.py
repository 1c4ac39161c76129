"""`init` writes a repository that works, and says exactly what to do with it."""

import os
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from touchstone import cli
from touchstone.errors import UsageError
from touchstone.git import git
from touchstone.home import SHIPPED, Home
from touchstone.platform import repositories

MODELS = sorted(file.parent.name for file in SHIPPED.glob("training/examples/*/touchstone.yaml"))


def init(*words):
    return CliRunner().invoke(cli._app(), ["init", *map(str, words)])


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))


def test_help_and_readme_have_a_line_for_every_example():
    listed = init("--help").output.splitlines()
    readme = (SHIPPED / "README.md").read_text()
    for folder in (SHIPPED / "training" / "examples").iterdir():
        assert sum(line.split()[:1] == [folder.name] for line in listed) == 1
        assert f"--example {folder.name}`" in readme


def test_an_unknown_example_is_told_the_known_ones():
    assert "expected one of tabular, " in str(init("mine", "--example=tabula").exception)


@pytest.mark.parametrize("example", MODELS)
def test_every_file_is_there_and_the_readme_names_each(tmp_path, example):
    done = init("mine", f"--example={example}")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "mine"
    own = {path.name for path in folder.iterdir() if path.is_file()} - {".gitignore", "README.md"}
    shipped = {path.name for path in (SHIPPED / "training" / "examples" / example).iterdir()}
    assert own == shipped - {"README.md", "__pycache__"}
    readme = (folder / "README.md").read_text()
    assert readme.startswith("# mine\n") and "${" not in readme and "$name" not in readme
    for file in own:
        assert f"`{file}`" in readme
    assert ".touchstone/" in (folder / ".gitignore").read_text().split()
    assert os.access(folder / ".githooks" / "pre-push", os.X_OK)


def test_the_commands_that_are_printed_can_be_typed_as_they_are(tmp_path):
    done = init("my model")
    *_, printed = done.output.split("as they are:\n")
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    assert lines[0] == "touchstone validate 'my model'"
    assert lines[1] == "touchstone up --detach"
    assert lines[-1] == "touchstone watch"
    script = "\n".join(line for line in lines if line.startswith("git"))
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "home/git/model.git"], check=True)
    person = [
        f"GIT_{who}_{what}=a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    ]
    env = {
        **os.environ,
        **dict(one.split("=") for one in person),
        "PATH": _without_touchstone(tmp_path),
    }
    subprocess.run(["sh", "-e", "-c", script], check=True, env=env, capture_output=True)
    pushed = ["git", "-C", tmp_path / "home/git/model.git", "ls-tree", "--name-only", "main"]
    assert "touchstone.yaml" in subprocess.run(pushed, capture_output=True, text=True).stdout


def test_a_second_model_is_told_a_repository_of_its_own(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    first = repositories.create(home, "model")
    assert f"push {first} HEAD:main" in init("one").output
    git("init", "-q", "-b", "main", "one", cwd=tmp_path)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm.", "--allow-empty", cwd="one")
    git("push", "-q", str(first), "main", cwd="one")
    for folder, name in {"My 2nd": "my-2nd", "ü": "another"}.items():
        printed = init(folder).output
        assert f"touchstone model add {name}\n" in printed
        assert f"push {home.repository(name)} HEAD:main" in printed


def _without_touchstone(tmp_path, said=""):
    """A PATH of git and the like, and of a touchstone that says this and refuses."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    if said:
        (folder / "touchstone").write_text(f"#!/bin/sh\necho {said} $PWD; ls; exit 4\n")
        (folder / "touchstone").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my own\n")
    assert "kept mine/README.md" in init("mine").output
    assert (tmp_path / "mine" / "README.md").read_text() == "my own\n"
    again = init("mine")
    assert isinstance(again.exception, UsageError)
    assert "already has model.py, touchstone.yaml" in str(again.exception)


def test_a_repository_that_is_there_gets_the_hook_alone(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".git" / "hooks").mkdir(exist_ok=True)
    (tmp_path / ".git" / "hooks" / "pre-push").write_text("#!/bin/sh\n")
    done = init(".", "--hook")
    assert done.exit_code == 0, done.output
    assert "cp .githooks/pre-push .git/hooks" in done.output
    assert ".git/hooks/pre-push is there already" in done.output
    assert {path.name for path in tmp_path.iterdir()} == {".git", ".githooks"}
    assert isinstance(init(".", "--hook").exception, UsageError)


def test_the_hook_checks_the_commit_that_is_pushed_and_not_what_lies_around(tmp_path):
    init("mine")
    folder, target = tmp_path / "mine", tmp_path / "target.git"
    subprocess.run(["git", "init", "-q", "--bare", target], check=True)
    said = {**os.environ, "PATH": _without_touchstone(tmp_path, "checked")}

    def git(*words):
        own = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", folder, *own, *words]
        return subprocess.run(command, capture_output=True, text=True, env=said)

    git("init", "-q", "-b", "main")
    (folder / ".git" / "hooks").mkdir(exist_ok=True)
    shutil.copy(folder / ".githooks" / "pre-push", folder / ".git" / "hooks")
    git("add", "touchstone.yaml")
    git("commit", "-qm", "without the code")
    refused = git("push", target, "main")
    assert refused.returncode != 0
    assert "touchstone.yaml" in refused.stdout and "model.py" not in refused.stdout
    assert "git push --no-verify pushes all the same" in refused.stderr
    assert git("push", "--no-verify", target, "main").returncode == 0
    assert git("push", target, ":main").returncode == 0  # deletes: there is nothing to check
