"""What a CI system reads of a verdict says who was refused and why, whatever the names are."""

import re
from xml.etree import ElementTree

import pytest
from pydantic import BaseModel
from report_samples import check, document, evidence, full
from sarif_pydantic import Sarif

from trust_gates.report import junit, markdown, sarif
from trust_gates.report.reading import Report
from trust_gates.verdict import Outcome, Verdict

POLICY = """
gates:
  quality:
    checks:
      - {metric: auc, atLeast: 0.5}
      - {metric: accuracy, atLeast: 0.8}
  robustness: {epsilon: 0.1, checks: [{atLeast: 0.4,
    metric: robust_accuracy}]}
"""
HOSTILE = "a<b>\x1b[31m\x00\ufffe]]>&|`@all\n::error::"


def parsed(verdict):
    return ElementTree.fromstring(junit.render(verdict))


def log(verdict, **more):
    found = sarif.render(verdict, **{"uri": "gates.yaml", "policy": POLICY, **more})
    known(Sarif.model_validate(found))
    return found["runs"][0]


def known(part):
    """Fields that SARIF does not have are kept apart by its model, and refused by some readers."""
    assert set(part.model_extra) <= {"columnKind"}  # of section 3.14.17, which the model lacks
    for value in vars(part).values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                known(one)


def test_a_check_is_a_test_case_and_a_refusal_a_failure():
    root = parsed(full())
    assert [suite.get("name") for suite in root] == ["quality", "robustness"]
    assert (root.get("name"), root.get("tests"), root.get("failures")) == ("tiny", "2", "1")
    passed, undecided = root.iter("testcase")
    assert (passed.get("classname"), passed.get("name")) == ("tiny.quality", "accuracy")
    assert passed.find("failure") is None and passed.find("system-out").text == "because"
    failure = undecided.find("failure")
    assert failure.get("type") == "insufficient evidence"
    assert failure.get("message") == "robust_accuracy: 40 samples cannot tell"
    assert "Judge it on about 300 samples." in failure.text


def test_a_gate_that_left_nothing_is_a_failure():
    verdict = Verdict(evidence=[evidence()], required=["quality"]).to_json()
    root = parsed({**verdict, "name": "tiny", "evidence": {}})
    assert (root.get("tests"), root.get("failures")) == ("1", "1")


def test_equal_verdicts_are_equal_bytes_and_names_do_not_move_with_figures():
    assert junit.render(full()) == junit.render(full())
    worse = document(evidence(check(measured=0.1, outcome=Outcome.FAILED)), name="tiny")
    names = {case.get("name") for case in parsed(worse).iter("testcase")}
    assert names == {"accuracy"}


def test_names_of_others_break_no_document():
    one = check(outcome=Outcome.FAILED, name=f"accuracy[{HOSTILE}]", reason=HOSTILE)
    verdict = document(evidence(one, warnings=[HOSTILE]), name=HOSTILE)
    (case,) = parsed(verdict).iter("testcase")
    assert "a<b>" in case.get("name") and "\x1b" not in case.get("name")
    result = log(verdict)["results"][0]
    assert "\n" not in result["message"]["text"] and "\x1b" not in result["message"]["text"]
    summary = markdown.summary(Report.of(verdict, ()))
    plain = re.sub("`[^`]*`", "", summary.replace(r"\`", ""))
    assert "<b>" not in plain and "\n::error::" not in summary and "@all" not in plain


def test_who_refused_is_a_result_at_the_line_that_asks_for_it():
    failed = check(outcome=Outcome.FAILED, reason="accuracy: got 0.1, expected >= 0.8")
    run = log(document(evidence(failed), *_robustness(), name="tiny"))
    first, second = run["results"]
    assert (first["ruleId"], first["level"]) == ("quality/accuracy", "error")
    assert first["message"]["text"].startswith("accuracy: got 0.1, expected >= 0.8. Train longer")
    assert _line(first) == 6
    assert (second["ruleId"], second["level"]) == ("robustness/robust_accuracy", "warning")
    assert _line(second) == 8
    assert run["automationDetails"]["id"] == "touchstone/tiny/"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted({one["ruleId"] for one in run["results"]})


def _robustness():
    undecided = check(
        "robustness", Outcome.INSUFFICIENT, name="robust_accuracy[linf]", samples_needed=300
    )
    return [evidence(undecided, gate="robustness")]


def _line(result):
    return result["locations"][0]["physicalLocation"]["region"]["startLine"]


def test_a_check_that_no_policy_asks_for_stands_at_its_gate():
    never = check(outcome=Outcome.FAILED, name="constant_prediction")
    verdict = document(evidence(never), name="tiny")
    assert _line(log(verdict)["results"][0]) == 3
    whole = "apiVersion: v1\nspec:\n  gates:\n    quality: {}\n"
    assert _line(log(verdict, policy=whole)["results"][0]) == 4
    assert _line(log(verdict, policy="[]")["results"][0]) == 1


def test_an_alert_stays_the_same_while_its_figures_move():
    def fingerprint(**more):
        verdict = document(evidence(check(outcome=Outcome.FAILED, **more)), name="tiny")
        return log(verdict)["results"][0]["partialFingerprints"]

    assert fingerprint(measured=0.1, reason="a") == fingerprint(measured=0.2, reason="b")
    assert fingerprint() != fingerprint(name="auc")


def test_nothing_is_alerted_of_a_model_that_passed_but_a_weak_yardstick():
    assert log(document(evidence(check()), name="tiny"))["results"] == []
    weak = document(evidence(check(), warnings=["epsilon is next to nothing"]), name="tiny")
    (note,) = log(weak)["results"]
    assert (note["ruleId"], note["level"]) == ("yardstick", "note")


def test_a_summary_is_the_verdict_first_and_folds_what_was_asked():
    text = markdown.summary(Report.of(full(), ()))
    assert text.startswith("# ❔ tiny: refused")
    assert text.index("## What decided") < text.index("## Every check") < text.index("<details>")
    assert "](" not in text.partition("## Every check")[2]  # a job's page has no pictures


@pytest.mark.parametrize("count", [10, 3000])
def test_a_summary_is_never_longer_than_a_step_may_leave(count):
    checks = [check(name=f"accuracy[group {i}]") for i in range(count)]
    text = markdown.summary(Report.of(document(evidence(*checks), name="tiny"), ()))
    assert len(text.encode()) < 1 << 20
    assert ("*Left out for length: what was asked, every check." in text) is (count > 1000)
