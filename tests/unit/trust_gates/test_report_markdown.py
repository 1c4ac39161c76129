"""A verdict passes only when every declared gate showed something, and its report hides nothing."""

import json
import math
import re

import pytest
from report_samples import DIGEST, PICTURES, check, document, evidence, full

from trust_gates import report
from trust_gates.report import markdown
from trust_gates.report.reading import Report
from trust_gates.verdict import Evidence, Interval, Outcome, Required, Verdict


def render(verdict, pictures=(), **options):
    return markdown.render(Report.of(verdict, pictures), **options)


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        ([evidence(check())], True),
        ([evidence(check(), check(outcome=Outcome.INSUFFICIENT))], False),
        ([evidence(check()), evidence(check("fairness", Outcome.FAILED), gate="fairness")], False),
        ([evidence()], False),
        ([], False),
    ],
)
def test_a_verdict_passes_only_when_every_check_did(found, passed):
    assert Verdict(evidence=found, required=["quality"]).passed is passed


def test_a_declared_gate_without_checks_is_a_failed_check():
    verdict = Verdict(evidence=[evidence(check())], required=["quality", "fairness"])
    (silent,) = [one for one in verdict.checks if one.gate == "fairness"]
    assert silent.outcome is Outcome.FAILED
    assert "left no check" in silent.reason
    assert not verdict.passed


def test_evidence_survives_json():
    original = evidence(check(), figures={"recall": math.nan, "clean": 0.5}, notes=["a note"])
    again = Evidence.from_json(json.loads(json.dumps(original.to_json())))
    assert repr(again) == repr(original)


def test_a_refused_report_leads_with_what_did_not_pass():
    failed = check("fairness", Outcome.FAILED, math.nan, "no group | a\nline")
    text = render(document(evidence(check()), evidence(failed, gate="fairness")))
    assert text.startswith(
        "# ❌ Trust report: refused\n\n1 of 2 checks passed.\n\n## What was asked"
    )
    assert text.index("## What was asked") < text.index("## What decided")
    assert "- ❌ **fairness**: no group \\| a line" in text
    assert (
        "| ❌ failed | `accuracy`<br>share of decisions that are right; 1 is ideal | not a" in text
    )


def test_what_did_not_pass_says_what_to_do():
    gap = check("fairness", Outcome.FAILED, name="disparate_impact[sex]", reason="got 0.5")
    few = check("robustness", Outcome.INSUFFICIENT, name="robust_accuracy", samples_needed=300)
    blind = check("integrity", Outcome.INSUFFICIENT, name="poisoned_samples")
    found = [evidence(one, gate=one.gate) for one in (check(), gap, few, blind)]
    head, _ = render(document(*found)).split("## Every check")
    means = (
        "<br>*What it means:* Share favored, unprivileged over privileged (sex): 0.9; 100 samples"
    )
    assert f"got 0.5{means} leave 0.85 to 0.95 possible, none of it within" in head
    assert (
        "(at least 0.8).<br>*What to do:* Train with a mitigation (spec.train.mitigation)" in head
    )
    assert "is required).<br>*What to do:* Judge it on about 300 samples." in head
    assert head.count("What to do") == 2  # who cannot see needs other eyes, not other data


def test_a_passed_report_leads_with_the_closest_call_of_each_gate():
    close = check(reason="close", required=Required(low=0.84))
    counted = check(reason="counted", interval=Interval(low=0, high=0, confidence=1.0))
    head, _ = render(document(evidence(check(), close, counted))).split("## Every check")
    assert "- ✅ **quality**: close" in head
    assert "because" not in head and "counted" not in head


def test_pictures_stand_with_their_gate_and_none_is_lost():
    text = render(full(), PICTURES)
    gate, rest = text.split("![stray](stray.png)")
    shown = "![What is left as epsilon grows.](robustness-epsilon.png)"
    assert shown in gate.split("### Robustness")[1]
    assert "| commit | `cccc" in rest and "| seed: data | `7` |" in rest


def test_figures_that_no_check_requires_are_shown_too():
    text = render(full())
    assert "| `recall` | not a number | share of true objects that were found; 1 is ideal |" in text
    assert "| `accuracy` | 0.9 |" not in text  # it is in the table of checks already


def test_a_table_is_shown_with_its_gaps():
    assert "| epsilon | left |\n|---|---|\n| 0.1 | – |\n| all | 0.2 |" in render(full())


def test_the_card_gives_the_repositorys_words_and_says_what_is_not_stated():
    text = render(full())
    assert "| **Purpose** | Tell gold from gilt. |" in text
    assert "| **Limits** | not stated |" in text
    assert "| **Samples** | train 60, test 40 |" in text
    assert "| **Judged** | no: no policy is declared |" in text
    bare = render(document(evidence(check())))
    assert "| **Purpose** | not stated |" in bare and "| **Source** | not recorded |" in bare


def test_a_remedy_is_shown_by_every_check_before_and_after_it():
    before = check(outcome=Outcome.FAILED, measured=0.6).to_json()
    previous = {"verdict": DIGEST, "remedy": "reweighing", "checks": [before]}
    new = check(name="recall")
    text = render(document(evidence(check(), new), previous=previous))
    head, _ = text.split("## Every check")
    assert "## Before and after reweighing" in head
    assert "| `accuracy` | ❌ 0.6, 0.850 to 0.950 | ✅ 0.9, 0.850 to 0.950 | >= 0.8 |" in head
    assert "| `recall` | – | ✅ 0.9" in head
    assert "Before and after" not in render(full())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b\nc", "a\\|b c"),
        ("<img src=x>", "&lt;img src=x>"),
        ("[x](javascript:y)", "\\[x](javascript:y)"),
        ("@everyone", "@<!-- -->everyone"),
        ("`*\\", "\\`\\*\\\\"),
        ("&lt;b", "&amp;lt;b"),
        ("<= 0.2 & >= 0.1", "<= 0.2 & >= 0.1"),
    ],
)
def test_words_of_a_model_repository_are_never_markup(text, shown):
    assert markdown.escape(text) == shown


def test_a_name_made_of_data_stays_in_its_cell():
    text = render(document(evidence(check(name="parity[a|b`<i>`]"), figures={"x|`y": 1.0})))
    assert "| `parity[a\\|b'<i>']` |" in text
    assert "| `x\\|'y` |" in text


def test_a_gate_that_only_measured_is_shown_too():
    text = render({**document(evidence(figures={"recall": 0.5})), "evidence": {}})
    assert "### Quality\n\nDoes it do its task" in text and "No check." in text


def test_a_pull_requests_limit_drops_what_is_needed_least_and_says_so():
    whole = render(full(), PICTURES)
    short = render(full(), PICTURES, limit=len(whole) - 1)
    assert "*Left out for length: further figures." in short and len(short) < len(whole)
    least = render(full(), PICTURES, limit=1)
    assert "## Every check" in least and "## What decided" in least
    assert "## Fact sheet" not in least and "![" not in least


def test_all_forms_are_there_and_equal_verdicts_give_equal_bytes():
    files = report.render(full(), PICTURES)
    assert set(files) == {
        "trust-report.md", "trust-report.html", "verdict.json", "bom.cdx.json", *PICTURES,
    }  # fmt: skip
    assert json.loads(files["verdict.json"]) == full()
    assert report.render(full(), PICTURES) == files


def test_a_renderer_sees_whole_tables_and_no_markup_but_details_and_breaks():
    from markdown_it import MarkdownIt

    evil = "<b>|`x`| [a](http://b)\n| c"
    refused = check(outcome=Outcome.FAILED, reason=evil, name=evil)
    verdict = {**full(), "card": {"purpose": evil}, "notes": {"quality": [evil]}}
    verdict["checks"] = [*verdict["checks"], refused.to_json()]
    text = render(verdict, PICTURES)
    page = MarkdownIt("commonmark").enable("table").render(text)
    for table in page.split("<table>")[1:]:
        head, *rows = table.split("</table>")[0].split("<tr>")[1:]
        assert rows and {row.count("<td") for row in rows} == {head.count("<th")}
    assert set(re.findall(r"</?(details|summary|br|b|a|img)\b", page)) == {
        "details", "summary", "br", "img",
    }  # fmt: skip
