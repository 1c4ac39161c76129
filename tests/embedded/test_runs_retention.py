"""gc removes what old runs left, and nothing that is referenced or runs."""

import json
import time

import pytest
from typer.testing import CliRunner

from touchstone.artifacts.store import Store
from touchstone.cli import _app
from touchstone.errors import PlatformError
from touchstone.git import git
from touchstone.home import Home
from touchstone.platform import retention
from touchstone.runs.lock import only_engine
from touchstone.runs.lookup import find, local
from touchstone.runs.store import State


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    return Home.default()


def ended(home, name, results=(), *, done=True, status=None):
    state = State(home.root)
    state.add_run({"kind": "PipelineRun", "metadata": {"name": name}})
    values = [{"name": str(i), "value": value} for i, value in enumerate(results)]
    state.save_taskrun(name, f"{name}-a", {"results": values})
    state.save_run(name, status or {}, done=done)
    log = home.logs / name / f"{name}-a" / "s.log"
    log.parent.mkdir(parents=True)
    log.write_text("hello\n")
    (home.root / "workspaces" / name).mkdir(parents=True)
    time.sleep(0.002)


def gc(*arguments):
    result = CliRunner().invoke(_app(), ["gc", "--json", *arguments])
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def names(home):
    return [run.name for run in State(home.root).runs()]


def test_the_newest_stay_and_the_others_go_with_logs_and_folders(home):
    for name in ("r1", "r2", "r3"):
        ended(home, name)
    ended(home, "unfinished", done=False)
    assert gc("--keep", "1", "--dry-run")["runs"] == ["r2", "r1"]
    assert names(home) == ["r1", "r2", "r3", "unfinished"]
    assert gc("--keep", "1")["runs"] == ["r2", "r1"]
    assert names(home) == ["r3", "unfinished"]
    assert not (home.logs / "r1").exists()
    assert not (home.root / "workspaces" / "r1").exists()
    assert (home.logs / "r3" / "r3-a" / "s.log").read_text() == "hello\n"


def test_what_is_young_or_executed_or_waits_for_its_sink_stays(home):
    ended(home, "r1")
    assert gc("--keep", "0", "--newer-than", "1h")["runs"] == []
    with only_engine(home.root, "r1"):
        assert gc("--keep", "0")["runs"] == []
    state = State(home.root)
    with state.transaction() as connection:
        connection.execute(
            "INSERT INTO outbox (run, subject, type, attributes, data) VALUES ('r1','','','{}','')"
        )
    assert gc("--keep", "0")["runs"] == []
    with state.transaction() as connection:
        connection.execute("UPDATE outbox SET state = 'dead'")
    assert gc("--keep", "0")["runs"] == ["r1"]


def test_an_interrupted_run_goes_where_no_platform_will_take_it_up(home):
    began = {"startTime": "2026-11-24T10:00:00Z"}
    ended(home, "of-the-platform", done=False, status=began)
    ended(Home(local(home)), "of-touchstone-run", done=False, status=began)
    ended(Home(local(home)), "queued", done=False)
    with only_engine(local(home), "of-touchstone-run"):
        assert gc("--keep", "0")["runs"] == []
    assert gc("--keep", "0")["runs"] == ["of-touchstone-run"]
    assert names(home) == ["of-the-platform"]
    assert names(Home(local(home))) == ["queued"]


def test_only_artifacts_that_nothing_leads_to_go(home, tmp_path):
    store = Store(home.artifacts)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w" * 10)
    tree = store.put(folder)
    verdict = store.put_json({"model": tree})
    promoted, referenced, lost, of_gone = (
        store.put_bytes(text) for text in (b"p", b"q", b"l", b"g")
    )
    ended(home, "gone", [of_gone])
    store.set_ref("runs/gone/verdict", of_gone)
    ended(home, "kept", [verdict])
    store.set_ref("runs/kept/verdict", referenced)
    work = tmp_path / "work"
    git("init", "--quiet", "--initial-branch=promote/x", str(work))
    (work / "release.json").write_text(json.dumps({"digests": {"model": promoted}}))
    git("add", ".", cwd=work)
    git("-c", "user.name=t", "-c", "user.email=t@x", "commit", "--quiet", "-m", "x", cwd=work)
    git("clone", "--quiet", "--bare", str(work), str(home.gitops_repository))

    assert gc("--keep", "1", "--artifacts", "--dry-run") == {
        "dryRun": True,
        "runs": ["gone"],
        "artifacts": 2,
        "bytes": 2,
    }
    assert gc("--artifacts")["artifacts"] == 1
    assert lost not in store
    assert gc("--keep", "1", "--artifacts")["artifacts"] == 1
    assert of_gone not in store
    assert store.get(tree, tmp_path / "again").joinpath("weights").read_bytes() == b"w" * 10
    assert all(digest in store for digest in (verdict, promoted, referenced))


def test_no_artifact_goes_while_a_run_is_executed(home):
    lost = Store(home.artifacts).put_bytes(b"not named yet")
    ended(home, "r1", done=False)
    with only_engine(home.root, "r1"), pytest.raises(PlatformError, match="executed"):
        retention.sweep(home)
    assert lost in Store(home.artifacts)
    assert find(home, "r1").run.name == "r1"


@pytest.mark.parametrize("arguments", [[], ["--newer-than", "soon"]])
def test_a_gc_that_says_nothing_or_nonsense_is_refused(home, arguments):
    result = CliRunner().invoke(_app(), ["gc", *arguments])
    assert result.exception.exit_code == 2
