"""Whole pipelines through the real engine: order, values, skips, failures, finally."""

from __future__ import annotations

from pathlib import Path

from engine_runs import run_text

FIXTURES = Path(__file__).parent / "tekton"


def test_results_order_tasks_and_a_false_when_skips_only_its_own_task(tmp_path: Path) -> None:
    ran = run_text((FIXTURES / "sums.yaml").read_text(), tmp_path)
    assert ran.results == {"total": "17"}
    assert ran.skipped == {"never": "When Expressions evaluated to false"}
    assert ran.condition["reason"] == "Completed"
    assert ran.condition["message"] == "Tasks Completed: 4 (Failed: 0, Cancelled 0), Skipped: 1"
    assert ran.log("last", "say") == "Completed None 5\n"
    assert {child["pipelineTaskName"] for child in ran.status["childReferences"]} == {
        "first",
        "after-never",
        "second",
        "last",
    }
