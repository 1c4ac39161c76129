"""A push into a real bare repository: announced at once, or kept until the listener is back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from touchstone.errors import UsageError
from touchstone.events import forge_hook
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.runs.store import State

ROOT = Path(__file__).parents[2]
SECRET = b"a webhook secret"
CLONE_URL = "file:///srv/object-detector.git"
COMMAND = (
    "import typer; from touchstone.commands import hook;"
    " app = typer.Typer(); hook.register(app); app()"
)


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )


@pytest.fixture
def port() -> int:
    """A loopback port on which nothing listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def work(tmp_path: Path, port: int) -> Path:
    """A clone with one commit, of a bare repository that has our hook."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "model.git")
    (tmp_path / "token").write_bytes(SECRET)
    hook = tmp_path / "model.git" / "hooks" / "post-receive"
    hook.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c '{COMMAND}' hook post-receive"
        f" --url http://127.0.0.1:{port} --secret-file {tmp_path}/token"
        f" --spool {tmp_path}/spool --clone-url {CLONE_URL}\n"
    )
    hook.chmod(0o755)
    git(tmp_path, "clone", "-q", "model.git", "work")
    clone = tmp_path / "work"
    git(clone, "checkout", "-q", "-B", "main")
    commit(clone, "Start", **{"model.py": "1", "old name é.txt": "1"})
    return clone


def commit(folder: Path, message: str, **files: str | None) -> str:
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
    git(folder, "add", "-A")
    (folder / ".git" / "message").write_text(message)
    git(folder, "commit", "-q", "-F", ".git/message")
    return git(folder, "rev-parse", "HEAD").stdout.strip()


@contextmanager
def listening(home: Path, port: int) -> Iterator[Listener]:
    listener = Listener(
        State(home / "home"),
        triggers=load_triggers([ROOT / "tekton" / "triggers"]),
        secrets=lambda name, key: SECRET,
    )
    config = uvicorn.Config(
        create_app(listener), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield listener
    finally:
        server.should_exit = True
        thread.join(10)


def body_of(listener: Listener) -> dict[str, object]:
    (event,) = listener.state.pending_events()
    return json.loads(event.body)


def test_a_push_reaches_the_listener_and_starts_a_run_of_that_commit(work, tmp_path, port):
    with listening(tmp_path, port) as listener:
        pushed = git(work, "push", "origin", "main")
        head = git(work, "rev-parse", "HEAD").stdout.strip()
        assert "refs/heads/main: stored" in pushed.stderr
        body = body_of(listener)
        (name,) = listener.process_pending()
    assert list((tmp_path / "spool").iterdir()) == []
    run = listener.state.run(name)
    params = {param["name"]: param["value"] for param in run.manifest["spec"]["params"]}
    assert (params["repo-url"], params["revision"]) == (CLONE_URL, head)
    assert body["before"] == "0" * 40 and body["created"] and not body["deleted"]
    assert body["repository"]["name"] == "object-detector"
    assert body["repository"]["default_branch"] == "main"
    assert body["head_commit"]["id"] == head
    assert body["head_commit"]["author"] == {"name": "Ada", "email": "ada@example.com"}
    assert sorted(body["head_commit"]["added"]) == ["model.py", "old name é.txt"]


@contextmanager
def processing(listener: Listener) -> Iterator[None]:
    """Process what comes in, as the platform does."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            listener.process_pending()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_push_hears_which_run_it_started_or_why_none(work, tmp_path, port):
    git(work, "tag", "rc1")
    with listening(tmp_path, port) as listener, processing(listener):
        started = git(work, "push", "origin", "main").stderr
        several = git(work, "push", "origin", "main:feature/x", "rc1").stderr
        commit(work, "Explain", **{"README.md": "more"})
        documents = git(work, "push", "origin", "main").stderr
        commit(work, "Change [skip ci]", **{"model.py": "3"})
        skipped = git(work, "push", "origin", "main").stderr
        deleted = git(work, "push", "origin", ":feature/x").stderr
        (run,) = [one.name for one in listener.state.runs()]
    assert f"main: started {run}; follow it: touchstone watch {run}" in " ".join(started.split())
    assert run.startswith("object-detector-")
    for ref, said, why in (
        ("refs/heads/feature/x", several, "only the default branch, main, starts a run"),
        ("refs/tags/rc1", several, "only tags like ^v[0-9] start a run"),
        ("refs/heads/main", documents, "only documents changed: README.md"),
        ("refs/heads/main", skipped, "[skip ci] in "),
        ("refs/heads/feature/x", deleted, "the branch feature/x was deleted"),
    ):
        assert f"touchstone: {ref}: nothing started: {why}" in " ".join(said.split())
    summaries = [event.summary for event in listener.state.events()]
    assert sum(text.startswith("nothing started: ") for text in summaries) == 5


def test_what_a_push_sends_nobody_else_sends_so_that_it_hears_of_it(work, tmp_path, port):
    spool = tmp_path / "spool"
    with (
        listening(tmp_path, port) as listener,
        processing(listener),
        ThreadPoolExecutor(1) as pool,
    ):
        with forge_hook.alone(spool) as first:
            pushing = pool.submit(git, work, "push", "origin", "main")
            with forge_hook.alone(spool, wait=False) as second:
                assert (first, second) == (True, False)
            time.sleep(1)
            assert not pushing.done() and not listener.state.events()
        assert "main: started object-detector-" in pushing.result().stderr
    with forge_hook.alone(spool, wait=False) as free:
        assert free


def test_a_listener_that_says_nothing_costs_a_push_no_more_than_its_patience(
    work, tmp_path, monkeypatch
):
    git(work, "push", "-q", "origin", "main", "main:feature/x", "main:feature/y")
    asked = []

    def post(url, delivery, *, attempts, timeout):
        if "prefer" not in delivery.headers:
            return httpx.Response(202, json={"status": "stored"})
        asked.append(timeout)
        time.sleep(timeout)
        raise httpx.ReadTimeout("")

    monkeypatch.setattr(forge_hook, "_post", post)
    sent = forge_hook.drain_spool(tmp_path / "spool", url="", secret=SECRET, patience=0.3)
    assert [(one.taken, one.message, one.outcome) for one in sent] == [(True, "stored", "")] * 3
    assert len(asked) == 1 and asked[0] <= 0.3


def test_a_listener_that_does_not_answer_is_asked_once_and_the_push_waits(work, tmp_path):
    head = git(work, "rev-parse", "HEAD").stdout.strip()
    update = forge_hook.Update(before="0" * 40, after=head, ref="refs/heads/main")
    payload = forge_hook.push_payload(work / ".git", update, clone_url=CLONE_URL, now=0)
    waiting = forge_hook.spool(tmp_path / "spool", payload)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (sent,) = forge_hook.drain_spool(waiting.parent, url=url, secret=SECRET, timeout=0.2)
        silent.setblocking(False)
        silent.accept()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert not sent.taken and "timed out" in sent.message and waiting.exists()


def test_each_pushed_commit_is_listed_oldest_first_with_its_files(work, tmp_path, port):
    git(work, "push", "-q", "origin", "main")
    for file in (tmp_path / "spool").iterdir():
        file.unlink()
    first = commit(work, "Change\n\nA\nD\nbody", **{"model.py": "2", "data.csv": "x"})
    second = commit(work, "Remove", **{"old name é.txt": None})
    with listening(tmp_path, port) as listener:
        git(work, "push", "-q", "origin", "main")
        body = body_of(listener)
    assert [item["id"] for item in body["commits"]] == [first, second]
    assert body["commits"][0]["message"] == "Change\n\nA\nD\nbody"
    changes = [(item["added"], item["modified"], item["removed"]) for item in body["commits"]]
    assert changes == [(["data.csv"], ["model.py"], []), ([], [], ["old name é.txt"])]


def test_a_push_while_the_listener_is_down_succeeds_waits_and_is_sent_later_once(
    work, tmp_path, port
):
    pushed = git(work, "push", "origin", "main")
    assert "was not announced" in pushed.stderr
    assert "touchstone up" in pushed.stderr
    assert SECRET.decode() not in pushed.stderr
    (waiting,) = (tmp_path / "spool").glob("*.json")
    kept = waiting.read_bytes()
    url = f"http://127.0.0.1:{port}"
    with listening(tmp_path, port) as listener:
        (sent,) = forge_hook.drain_spool(tmp_path / "spool", url=url, secret=SECRET)
        assert (sent.taken, sent.message) == (True, "stored")
        assert forge_hook.drain_spool(tmp_path / "spool", url=url, secret=SECRET) == []
        waiting.write_bytes(kept)  # killed after the answer, before the file was removed
        (again,) = forge_hook.drain_spool(tmp_path / "spool", url=url, secret=SECRET)
        assert (again.taken, again.message) == (True, "duplicate")
        assert len(listener.process_pending()) == 1


def test_going_back_and_forth_between_two_commits_announces_each_push(work, tmp_path, port):
    repository, head = tmp_path / "model.git", git(work, "rev-parse", "HEAD").stdout.strip()
    git(work, "push", "-q", "origin", "main")
    update = forge_hook.Update(before="0" * 40, after=head, ref="refs/heads/main")
    one, other = (
        forge_hook.push_payload(repository, update, clone_url=CLONE_URL, now=now) for now in (1, 2)
    )
    assert one != other


def test_a_deleted_branch_is_announced_and_starts_nothing(work, tmp_path, port):
    git(work, "push", "-q", "origin", "main", "main:old")
    for file in (tmp_path / "spool").iterdir():
        file.unlink()
    with listening(tmp_path, port) as listener:
        git(work, "push", "-q", "origin", ":old")
        body = body_of(listener)
        assert listener.process_pending() == []
    assert body["deleted"] and body["head_commit"] is None and body["commits"] == []


def test_a_wrong_secret_keeps_the_delivery_for_later(work, tmp_path, port):
    git(work, "push", "-q", "origin", "main")
    url = f"http://127.0.0.1:{port}"
    with listening(tmp_path, port):
        (sent,) = forge_hook.drain_spool(tmp_path / "spool", url=url, secret=b"wrong")
        assert not sent.taken and "401" in sent.message
        (sent,) = forge_hook.drain_spool(tmp_path / "spool", url=url, secret=SECRET)
        assert sent.taken


def test_what_the_listener_never_takes_is_put_aside_and_the_next_goes_on(work, tmp_path, port):
    git(work, "push", "-q", "origin", "main")
    (good,) = (tmp_path / "spool").glob("*.json")
    delivery = json.loads(good.read_text())
    (tmp_path / "spool" / "0-broken.json").write_text("{")
    (tmp_path / "spool" / "0-star.json").write_text(json.dumps(delivery | {"event": "star"}))
    with listening(tmp_path, port) as listener:
        sent = forge_hook.drain_spool(
            tmp_path / "spool", url=f"http://127.0.0.1:{port}", secret=SECRET
        )
        assert [item.taken for item in sent] == [False, False, True]
        assert len(listener.state.pending_events()) == 1
    refused = tmp_path / "spool" / "refused"
    assert sorted(file.name for file in refused.iterdir()) == ["0-broken.json", "0-star.json"]


def test_a_push_of_huge_commits_still_fits_into_a_webhook(work, tmp_path):
    for number in range(3):
        commit(work, "x" * 700_000, **{"model.py": f"huge {number}"})
    git(work, "push", "-q", "origin", "main")
    (file,) = (tmp_path / "spool").glob("*.json")
    body = json.loads(file.read_text())["body"]
    assert len(body) < 1 << 20
    assert json.loads(body)["head_commit"]["id"] == git(work, "rev-parse", "HEAD").stdout.strip()


@pytest.mark.parametrize("line", ["", "a b c", "0" * 40, f"{'0' * 40} {'z' * 40} refs/heads/main"])
def test_a_line_that_git_would_not_write_is_refused(line):
    with pytest.raises(UsageError, match="<old> <new> <ref>"):
        forge_hook.read_updates([line])


@pytest.mark.parametrize(
    ("files", "runs"), [({"README.md": "more"}, 0), ({"README.md": "x", "model.py": "2"}, 1)]
)
def test_a_push_of_documents_alone_starts_nothing(work, tmp_path, port, files, runs):
    with listening(tmp_path, port) as listener:
        git(work, "push", "-q", "origin", "main")
        assert len(listener.process_pending()) == 1, "the first push lists model.py"
        commit(work, "Write", **files)
        git(work, "push", "-q", "origin", "main")
        assert len(listener.process_pending()) == runs


def test_the_first_push_of_the_default_branch_lists_its_commits(work, tmp_path):
    git(work, "push", "-q", "origin", "main")
    (file,) = (tmp_path / "spool").glob("*.json")
    body = json.loads(json.loads(file.read_text())["body"])
    assert [item["message"] for item in body["commits"]] == ["Start"]


def updated(work, tmp_path, before):
    """What the hook sends of a push that moved main from `before` to where it is."""
    head = git(work, "rev-parse", "HEAD").stdout.strip()
    git(work, "push", "-qf", "origin", "HEAD:refs/heads/main")
    update = forge_hook.Update(before=before, after=head, ref="refs/heads/main")
    return forge_hook.push_payload(tmp_path / "model.git", update, clone_url=CLONE_URL, now=1)


def test_of_a_long_push_it_is_said_how_many_commits_are_not_listed(work, tmp_path):
    before = git(work, "rev-parse", "HEAD").stdout.strip()
    for number in range(103):
        git(work, "commit", "-q", "--allow-empty", "-m", str(number))
    payload = updated(work, tmp_path, before)
    assert (len(payload["commits"]), payload["total_commits"]) == (100, 103)
    assert payload["forced"] is False


def test_a_push_that_takes_a_commit_back_is_called_forced(work, tmp_path):
    first = git(work, "rev-parse", "HEAD").stdout.strip()
    before = commit(work, "Code", **{"model.py": "2"})
    git(work, "push", "-q", "origin", "main")
    git(work, "reset", "-q", "--hard", first)
    commit(work, "Words", **{"README.md": "1"})
    payload = updated(work, tmp_path, before)
    assert payload["forced"] is True
    assert [item["message"] for item in payload["commits"]] == ["Words"]


def test_a_merge_lists_what_it_changed_in_the_branch_that_it_came_upon(work, tmp_path):
    git(work, "checkout", "-q", "-b", "side")
    commit(work, "Words", **{"README.md": "1"})
    git(work, "checkout", "-q", "main")
    before = commit(work, "More words", **{"docs.md": "1"})
    git(work, "merge", "-q", "--no-ff", "--no-commit", "side")
    (work / "model.py").write_text("changed while merging")
    git(work, "add", "model.py")
    git(work, "commit", "-q", "-m", "Merge")
    merge = updated(work, tmp_path, before)["commits"][-1]
    assert merge["message"] == "Merge"
    assert (merge["modified"], merge["added"]) == (["model.py"], ["README.md"])


def test_two_tags_of_one_push_start_two_runs_under_their_whole_names(work, tmp_path, port):
    for tag in ("v1.0/rc", "v1.1"):
        git(work, "tag", tag)
    with listening(tmp_path, port) as listener:
        git(work, "push", "-q", "origin", "v1.0/rc", "v1.1")
        names = listener.process_pending()
    runs = [listener.state.run(name).manifest["metadata"]["annotations"] for name in names]
    assert [run["touchstone.dev/branch"] for run in runs] == ["v1.0/rc", "v1.1"]
