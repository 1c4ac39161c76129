"""A push of 20,000 files is judged as one of two is, in as many questions."""

from __future__ import annotations

import json

import pytest
from forge_samples import BY_NAME, SHA, post, secrets

from touchstone.artifacts.store import digest_bytes
from touchstone.events.intake import accept
from touchstone.events.interceptors import cel
from touchstone.events.listener import Listener

PUSHES = ("github-push", "gitlab-push", "forgejo-push")


@pytest.fixture
def listener(state, triggers):
    return Listener(state, triggers=triggers, secrets=secrets)


def _pushed(push: str, names: list[str], *, commits: int = 1):
    each = len(names) // commits
    listed = [
        {
            **{"id": SHA, "message": "m", "added": [], "removed": []},
            "modified": names[number * each : (number + 1) * each],
        }
        for number in range(commits)
    ]
    headers, body = BY_NAME[push].delivery(commits=listed, total_commits=commits)
    return headers | {"idempotency-key": digest_bytes(body)}, body


def _documents(count: int) -> list[str]:
    return [f"docs/class-{number % 50}/page-{number:06d}.md" for number in range(count)]


@pytest.mark.parametrize("commits", [1, 1000])
@pytest.mark.parametrize("push", PUSHES)
def test_20000_documents_start_nothing_and_a_last_file_of_code_starts_a_run(
    listener, push, commits
):
    names = _documents(20_000)
    post(listener, *_pushed(push, names, commits=commits))
    (event,) = listener.state.pending_events()
    (found,) = [item for item in listener.explain(event) if item.trigger == "push"]
    assert found.reason.startswith(f"only documents changed: {names[0]}, ")
    assert found.reason.endswith(" and 19997 more")
    assert listener.process_pending() == []
    post(listener, *_pushed(push, [*names[:-1], "model.py"], commits=commits))
    assert len(listener.process_pending()) == 1


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("LICENSE", False),
        ("src/LICENSE", True),
        (".gitignore", False),
        ("src/.gitignore", True),
        ("docs/a.py", False),
        ("src/docs/a.py", True),
        ("docs", True),
        ("a.md", False),
        ("a/b.md", False),
        ("a.md.py", True),
        ("model.py\na.md", True),
        ("a.md\nmodel.py", True),
        ("\u00e4.md", False),
        ("$", True),
    ],
)
@pytest.mark.parametrize("push", PUSHES)
def test_which_names_are_documents(listener, push, name, starts):
    post(listener, *_pushed(push, ["README.md", name]))
    assert len(listener.process_pending()) == starts


@pytest.mark.parametrize("push", PUSHES)
def test_the_work_of_a_push_grows_with_its_bytes_alone(listener, triggers, push, monkeypatch):
    asked: list[int] = []
    ask = cel.DIALECT._host.ask

    def counted(question, given):
        asked.append(len(question))
        return ask(question, given)

    def cost(count: int) -> tuple[int, int, int]:
        headers, body = _pushed(push, _documents(count))
        accept(triggers, headers, body, url="/", secrets=secrets)
        post(listener, headers, body)
        asked.clear()
        listener.process_pending()
        return len(asked), sum(asked), len(json.dumps(json.loads(body)))

    cost(1)  # every expression is compiled now
    monkeypatch.setattr(cel.DIALECT._host, "ask", counted)
    few, _, _ = cost(2)
    many, sent, size = cost(20_000)
    assert many == few
    assert sent < many * (size + 5000)
