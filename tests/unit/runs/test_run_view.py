"""People see what the status documents say: stages, durations, refusals and reasons."""

import pytest

from touchstone.runs.store import State
from touchstone.runs.view import view


def status(state, reason, code=0, completed=True):
    document = {
        "conditions": [{"type": "Succeeded", "status": state, "reason": reason}],
        "startTime": "2026-11-24T03:00:00Z",
        "steps": [{"name": "a", "terminated": {"exitCode": code}}],
    }
    if completed:
        document["completionTime"] = "2026-11-24T03:00:07Z"
    return document


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path)
    state.add_run({"kind": "PipelineRun", "metadata": {"name": "r"}})
    return state


def show(state, tmp_path, run_status, done=True):
    state.save_run("r", run_status, done=done)
    return view(state, state.run("r"), tmp_path / "logs")


def ended(reason):
    return {
        "conditions": [{"type": "Succeeded", "status": "False", "reason": reason}],
        "childReferences": [{"name": "r-verdict", "pipelineTaskName": "verdict"}],
        "skippedTasks": [{"name": "promote", "reason": "Parent Tasks were skipped"}],
    }


def test_a_step_that_ends_with_5_means_the_model_was_refused(state, tmp_path):
    state.save_taskrun("r", "r-verdict", status("False", "Failed", code=5))
    shown = show(state, tmp_path, ended("Failed"))
    assert [(stage.name, stage.state) for stage in shown.stages] == [
        ("verdict", "refused"),
        ("promote", "skipped"),
    ]
    assert shown.stages[0].seconds == 7
    assert shown.exit_code == 5


def test_another_failure_ends_with_1(state, tmp_path):
    state.save_taskrun("r", "r-verdict", status("False", "Failed", code=2))
    assert show(state, tmp_path, ended("Failed")).exit_code == 1


@pytest.mark.parametrize("reason", ["Succeeded", "Completed"])
def test_success_ends_with_0(state, tmp_path, reason):
    state.save_taskrun("r", "r-verdict", status("True", "Succeeded"))
    assert show(state, tmp_path, ended(reason)).exit_code == 0


def test_a_run_that_has_not_begun_is_pending(state, tmp_path):
    shown = show(state, tmp_path, {}, done=False)
    assert (shown.reason, shown.stages) == ("Pending", ())


def test_a_failed_stage_says_all_of_its_error_and_a_cached_one_whose_results_it_has(
    state, tmp_path
):
    for folder, text in (("r/r-validate", "error: a\nb\n"), ("old/old-tune", "best: trial 4\n")):
        (tmp_path / "logs" / folder).mkdir(parents=True)
        (tmp_path / "logs" / folder / "a.log").write_text(text)
    state.save_taskrun("r", "r-validate", status("False", "Failed", code=4))
    cached = {"touchstoneCache": {"key": "k", "run": "old", "taskRun": "old-tune"}}
    state.save_taskrun("r", "r-tune", {**status("True", "Succeeded"), "provenance": cached})
    failed, tune, _ = show(state, tmp_path, ended("Failed")).stages
    assert (failed.detail, failed.error) == ("a", ("a", "b"))
    assert (tune.detail, tune.cached_from) == ("best: trial 4", "old")
    assert state.cached_of("r") == (1, 2)


def test_only_a_stage_that_runs_is_on_its_way(state, tmp_path):
    for name, done in (("r-train", False), ("r-verdict", True)):
        (tmp_path / "logs" / "r" / name).mkdir(parents=True)
        (tmp_path / "logs" / "r" / name / "a.log").write_text("epoch 3/10 loss=0.41\n")
        told = "True" if done else "Unknown"
        state.save_taskrun("r", name, status(told, "Running", completed=done))
    stages = show(state, tmp_path, ended("Running"), done=False).stages
    assert [stage.progress for stage in stages] == ["epoch 3/10 loss=0.41", "", ""]


@pytest.mark.parametrize(
    ("reason", "code", "log", "first"),
    [
        ("StepFailed", 4, "a\nerror: b\n", "b"),
        ("Failed", 1, "a\n\nb\n", "a"),
        ("Failed", 1, "", "Failed:"),
        ("TaskRunTimeout", 137, "error: b\n", "TaskRunTimeout:"),
        ("TaskRunImagePullFailed", 0, "", "TaskRunImagePullFailed:"),
    ],
)
def test_a_failed_stage_says_what_its_step_said_or_else_what_tekton_says(
    state, tmp_path, reason, code, log, first
):
    (tmp_path / "logs" / "r" / "r-verdict").mkdir(parents=True)
    (tmp_path / "logs" / "r" / "r-verdict" / "a.log").write_text(log)
    state.save_taskrun("r", "r-verdict", status("False", reason, code=code))
    stage = show(state, tmp_path, ended("Failed")).stages[0]
    assert stage.detail.startswith(first) and stage.detail == stage.error[0]


def test_it_is_known_how_many_stages_there_will_be(state, tmp_path):
    state.save_taskrun("r", "r-verdict", status("True", "Succeeded"))
    state.save_taskrun("r", "r-train", status("Unknown", "Running", completed=False))
    spec = {"tasks": [{"name": n} for n in ("verdict", "train", "promote")], "finally": [{}]}
    shown = show(state, tmp_path, {**ended("Running"), "pipelineSpec": spec}, done=False)
    assert (shown.ended, shown.planned) == (2, 4)  # promote was skipped
