"""A report is found by model, run, version or digest, and is that of the run that judged."""

import json
import os
import pty
import subprocess
import sys
import webbrowser

import pytest
from delivery_platform import check, make_platform
from report_samples import PIXEL
from typer.testing import CliRunner

from touchstone.artifacts.store import Store
from touchstone.cli import _app
from touchstone.delivery import verdicts
from touchstone.errors import UsageError
from touchstone.home import Home
from touchstone.runs.lookup import REPOSITORY
from touchstone.runs.store import State

UNFAIR = check("fairness", "disparate_impact", 0.5, "failed", 0.8, 1.25)
HOSTILE = "<script>alert(1)</script>\x1b[2J"


def _status(succeeded, **more):
    word = "True" if succeeded else "False"
    reason = "Succeeded" if succeeded else "Failed"
    return {
        "conditions": [
            {"type": "Succeeded", "status": word, "reason": reason, "message": "Tasks: 1"}
        ],
        "startTime": "2026-11-24T03:00:00Z",
        "completionTime": "2026-11-24T03:00:07Z",
        **more,
    }


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    home.prepare()
    monkeypatch.setenv("TOUCHSTONE_HOME", str(home.root))
    return home


def judge(home, run, name="tiny", *, checks=None, commit="c" * 40, evidence=None, ended=None):
    """A run that came to a verdict as the pipeline's would; its digest."""
    checks = checks or [check()]
    passed = all(one["outcome"] == "passed" for one in checks)
    document = {
        "apiVersion": "touchstone.dev/v1",
        "kind": "Verdict",
        "passed": passed,
        "checks": checks,
        "name": name,
        "run": run,
        "commit": commit,
        "evidence": evidence or {},
        "figures": {},
        "askedAs": {},
        "confidence": 0.95,
    }
    store = Store(home.artifacts)
    digest = store.put_json(document)
    store.set_ref(f"runs/{run}/verdict", digest)
    end(home, run, passed if ended is None else ended, verdict=True)
    return digest


def end(home, run, succeeded, *, verdict=False):
    state = State(home.root)
    annotations = {REPOSITORY: "team/tiny"} if run in ("run-1", "run-2") else {}
    metadata = {"name": run, "annotations": annotations}
    state.add_run({"kind": "PipelineRun", "metadata": metadata, "spec": {}})
    child = {"name": f"{run}-verdict", "pipelineTaskName": "verdict"}
    children = {"childReferences": [child]} if verdict else {}
    if verdict:
        state.add_taskrun(run, {"kind": "TaskRun", "metadata": {"name": child["name"]}})
        state.save_taskrun(run, child["name"], _status(succeeded))
    state.save_run(run, _status(succeeded, **children), done=True)


def told(*arguments):
    done = CliRunner().invoke(_app(), ["report", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_verdict_is_found_by_run_model_digest_and_commit(home):
    first = judge(home, "run-1", commit="1a2b3c4d" + "0" * 32)
    second = judge(home, "run-2", checks=[UNFAIR], commit="f" * 40)
    other = judge(home, "run-3", "other", commit="e" * 40)
    wanted = {
        "run-1": first, "1a2b3c4": first, first: first, first[7:14]: first,
        "run-2": second, "tiny": second, second[7:20]: second, "team/tiny": second,
        "other": other, "": other,
    }  # fmt: skip
    assert {text: verdicts.find(home, text).digest for text in wanted} == wanted


def test_digits_with_which_several_begin_are_refused(home):
    judge(home, "run-1", commit="1a2b3c4d" + "0" * 32)
    judge(home, "run-2", commit="1a2b3c4e" + "0" * 32)
    with pytest.raises(UsageError, match="with which several begin: 1a2b3c4d0+, 1a2b3c4e"):
        verdicts.find(home, "1a2b3c4")


@pytest.mark.parametrize("wanted", ["absent", "1a2b3c", "../run-1", "sha256:"])
def test_what_is_unknown_is_told_what_was_expected(home, wanted):
    judge(home, "run-1", commit="1a2b3c4d" + "0" * 32)
    with pytest.raises(UsageError, match="expected a run, a model, or seven digits"):
        verdicts.find(home, wanted)


def test_a_run_without_a_verdict_says_how_it_ended(home):
    end(home, "broken", succeeded=False)
    with pytest.raises(
        UsageError, match="broken ended without a verdict: Failed: Tasks: 1"
    ) as error:
        verdicts.find(home, "broken")
    assert error.value.hint.startswith("touchstone describe broken")
    State(home.root).add_run({"kind": "PipelineRun", "metadata": {"name": "young"}, "spec": {}})
    with pytest.raises(UsageError, match="young has come to no verdict yet"):
        verdicts.find(home, "young")


def test_a_reference_that_the_run_did_not_leave_counts_for_no_verdict(home):
    judge(home, "forged", checks=[check()], ended=False)
    with pytest.raises(UsageError, match="forged ended without a verdict"):
        verdicts.find(home, "forged")


def test_a_refused_model_has_a_report_with_its_pictures(home, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "fairness.png").write_bytes(PIXEL)
    evidence = {"fairness": Store(home.artifacts).put(tree)}
    few = check("quality", "accuracy", 0.82, "insufficient evidence")
    judge(home, "run-1", checks=[check(), few, UNFAIR], evidence=evidence)
    shown = told("tiny", "--to", str(tmp_path / "out"))
    assert shown.index("FAILED fairness") < shown.index("unclear quality")
    assert "tiny: refused\n1 of 3 checks passed." in shown
    assert "Decided at a confidence of 0.95" in shown and "nothing was promoted" in shown
    page = tmp_path / "out" / "trust-report.html"
    assert f"report: {page}" in shown and "data:image/png;base64," in page.read_text()
    assert (tmp_path / "out" / "fairness.png").read_bytes() == PIXEL


def test_without_a_folder_the_report_lies_in_the_home_and_machines_are_told_where(home):
    judge(home, "run-1", checks=[UNFAIR])
    document = json.loads(told("--json"))
    assert document["report"] == str(home.root / "reports" / "run-1" / "trust-report.html")
    assert (document["passed"], document["outcome"]) == (False, "failed")
    assert [one["name"] for one in document["checks"]] == ["disparate_impact"]


def test_a_file_in_the_place_of_the_folder_is_told_so(home, tmp_path):
    judge(home, "run-1")
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match=r"got File exists for .*/out, expected a folder"):
        told("--to", str(tmp_path / "out"))


@pytest.mark.parametrize("found", [True, False])
def test_it_opens_in_the_browser_where_there_is_one(home, monkeypatch, found):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or found)
    judge(home, "run-1")
    shown = told("--open")
    assert opened == [(home.root / "reports" / "run-1" / "trust-report.html").as_uri()]
    assert ("no browser was found" in shown) is not found


def test_words_of_the_judged_run_nothing_in_the_report_and_on_the_terminal(home, tmp_path):
    evil = {**UNFAIR, "name": f"disparate_impact[{HOSTILE}]", "reason": HOSTILE}
    judge(home, "run-1", HOSTILE, checks=[evil])
    shown = told("run-1", "--to", str(tmp_path / "out"))
    assert "\x1b" not in shown
    page = (tmp_path / "out" / "trust-report.html").read_text()
    assert "<script" not in page and "\x1b" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_what_became_of_it_is_told(tmp_path):
    platform = make_platform(tmp_path)
    home = Home(tmp_path)
    candidate = platform.candidate(name="tiny", run="run-1")
    digest, store = candidate.digests.verdict, platform.store
    judged = verdicts.Judged(
        run="run-1", digest=digest, verdict=store.get_json(digest), store=store
    )
    assert verdicts.became(home, judged).startswith("passed: it neither waits")
    platform.promote(candidate)
    assert verdicts.became(home, judged) == "waits for a review into staging"
    platform.approve()
    assert verdicts.became(home, judged) == "merged into staging"


_PAGED = """
from touchstone.commands.pager import page
page("\\n".join(["hostile \\x1b[2J"] + ["line"] * 9))
"""


def paged(pager, *, typing=True):
    """What a terminal shows of ten lines through that pager; somebody may type there, or not."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PAGER": pager}
    command = [sys.executable, "-c", _PAGED]
    keys = slave if typing else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=keys, stdout=slave, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break  # the last writer is gone
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait() == 0
    return shown.decode()


def test_long_text_goes_through_the_pager_on_a_terminal_as_text():
    assert paged("sed s/line/paged/").count("paged") == 9
    assert paged("head -n 2").count("line") == 1
    assert paged("head -n 2", typing=False).count("line") == 9, "it could wait for a key for ever"
    for pager in ("cat", "", "no-such-pager-here", "sed p"):
        shown = paged(pager)
        assert "line" in shown and "\\u001b[2J" in shown and "\x1b[2J" not in shown
