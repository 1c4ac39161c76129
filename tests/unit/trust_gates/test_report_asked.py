"""A report says what was asked before what was found: nobody hides a weak yardstick in it."""

import html
import json
import re

import numpy as np
import pytest
from gate_models import linear_samples, linear_target
from report_samples import DIGEST, check, document, evidence, full

from trust_gates import GATES, outside, report
from trust_gates.gates import Gates
from trust_gates.inputs.dataset import Data
from trust_gates.report.asked import Yardstick, flow
from trust_gates.samples import Samples
from trust_gates.verdict import Required

LOOSE = Gates.model_validate(
    {
        "confidence": 0.51,
        "quality": {
            "checks": [{"metric": "accuracy", "atLeast": 0.01}],
            "champion": {"margin": 0.37},
            "minimumSlice": 31,
        },
        "robustness": {
            "norm": "l2",
            "epsilon": 2e-6,
            "tolerance": 0.75,
            "attacks": ["pgd", "hopskipjump"],
            "samples": 17,
            "sequential": False,
            "steps": 3,
            "queries": 5,
            "immutable": ["a", "b"],
            "bounds": {"c": [0.25, 0.5]},
            "figures": ["minimal_perturbation"],
            "sweep": [0.125],
            "checks": [{"metric": "robust_accuracy", "atLeast": 0.02}],
        },
        "fairness": {
            "protected": [{"name": "sex", "privileged": ["f"]}],
            "favorable": "yes",
            "minimumGroup": 7,
            "alpha": 1.5,
            "checks": [{"metric": "statistical_parity_difference", "within": [-0.9, 0.9]}],
        },
        "explainability": {
            "method": "saliency",
            "samples": 9,
            "protected": ["sex"],
            "proxy": 0.97,
            "checks": [{"metric": "stability", "atLeast": 0.03}],
        },
        "integrity": {
            "checks": [{"metric": "label_noise", "atMost": 0.4}],
            "poisoning": {"samples": 51, "recall": 0.11},
            "pinned": True,
        },
    }
)


def judged(*found, **more):
    gates = LOOSE.plain()
    return {**document(*found), "gates": gates, **more}


def pages(verdict):
    """The reports' text as their readers see it, from `What was asked` to `What decided`."""
    files = report.render(verdict, {})
    markdown = files[report.MARKDOWN_FILE].decode()
    page = re.sub(r"<style>.*</style>", "", files[report.HTML_FILE].decode(), flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    parts = []
    for whole in (markdown, text[text.index("Trust report") :]):
        before, _, rest = whole.rpartition("What was asked")
        asked, _, found = rest.partition("What decided")
        assert found, "nothing was found after what was asked"
        parts.append((before, asked))
    return parts


@pytest.mark.parametrize("gate", GATES)
def test_every_key_of_every_policy_is_in_both_reports_with_its_value(gate):
    policy = LOOSE.policy(gate)
    keys = policy.plain()
    assert len(keys) == len(type(policy).model_fields)  # one that is left out would be hidden
    unset = {key for key, value in keys.items() if value in (None, [], {})}
    assert unset <= {"privileged"}  # here each attribute has its own
    for _, asked in pages(judged(evidence(check(gate), gate=gate))):
        for key, value in keys.items():
            listed = isinstance(value, list) and isinstance(value[0] if value else None, dict)
            entries = [f"- {flow(one)}" for one in value] if listed else [f"{key}: {flow(value)}"]
            for entry in entries:
                assert entry in asked


def test_what_a_gate_tells_and_warns_of_comes_before_what_was_found():
    told = evidence(
        check("robustness", name="robust_accuracy"),
        gate="robustness",
        asked=[("epsilon", "0.000002, 0.0002 % of the range of the data")],
        warnings=["pgd has 1 step, its own default is 40"],
    )
    for before, asked in pages(judged(told)):
        assert "2 warnings about the yardstick" in before
        assert "Warning:" in asked and "pgd has 1 step, its own default is 40" in asked
        assert "0.000002, 0.0002 % of the range of the data" in asked
        assert "confidence 0.51 of the whole verdict" in asked
        assert "passes in up to 49% of such verdicts" in asked
    for before, asked in pages(document(evidence(check()))):
        assert "warning" not in (before + asked).lower()


def test_a_threshold_is_told_once_however_many_groups_it_was_held_for():
    fair = Required(low=-0.1, high=0.1)
    compared = [
        check("fairness", name=f"disparate[{group}]", required=fair, samples=samples)
        for group, samples in (("a", 50), ("b", 900))
    ]
    own = check(name="accuracy[evaluation]", required=Required(low=0.9))
    judged_on = [evidence(check(), own), evidence(*compared, gate="fairness")]
    verdict = judged(*judged_on, evaluation=DIGEST)
    (quality, fairness) = Yardstick.of(verdict).gates
    assert fairness.held == ["disparate in [-0.1, 0.1] (on 50 to 900 samples, in each of 2 checks)"]
    assert [str(one) for one in quality.thresholds] == [
        ">= 0.8 (on 100 samples)",
        ">= 0.9 (on 100 samples, of the organisation's own data)",
    ]
    (quality, _) = Yardstick.of(judged(*judged_on)).gates
    assert str(quality.thresholds[1]) == ">= 0.9 (on 100 samples)"  # a group may be called so


def test_the_floor_and_whose_data_were_judged_are_named():
    own = evidence(check(), check(name="accuracy[evaluation]"))
    (_, asked), _ = pages(judged(own, floor=DIGEST, evaluation=DIGEST))
    assert f"floor: held to the organisation's, {DIGEST}" in asked
    assert f"1 of 2 checks rest on the organisation's own ({DIGEST})" in asked
    (_, asked), _ = pages(judged(own))
    assert "floor: none of an organisation was given" in asked
    text = report.render(judged(own, evaluation=DIGEST), {})[report.MARKDOWN_FILE].decode()
    assert "on the organisation's own evaluation data" in text


def test_every_digest_of_what_was_judged_is_told_first():
    for _, asked in pages(full()):
        for name in ("model", "source", "policy", "data", "dataset"):
            assert re.search(rf"{name}:?\s+{DIGEST}", asked)
        assert re.search(r"samples:?\s+test 40, train 60", asked)


HOSTILE = "a\n```\n# All is well\n</code></pre><h1>passed</h1>\u202e\x1b[2J @everyone"


def test_no_value_of_a_policy_ends_the_listing_it_stands_in():
    from markdown_it import MarkdownIt

    gates = {
        "robustness": {"immutable": [HOSTILE], "bounds": {HOSTILE: [0, 1]}, HOSTILE: HOSTILE},
        "fairness": {"protected": [{"name": HOSTILE, "privileged": [HOSTILE]}]},
    }
    found = [
        evidence(check(gate), gate=gate, asked=[(HOSTILE, HOSTILE)], warnings=[HOSTILE])
        for gate in gates
    ]
    files = report.render({**document(*found), "gates": gates}, {})
    text = files[report.MARKDOWN_FILE].decode()
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert page.count("<h1>") == 1 and page.count('<pre><code class="language-yaml">') == 2
    assert "All is well</h1>" not in page
    whole = files[report.HTML_FILE].decode()
    assert whole.count("<h1>") == 1 and whole.count("<pre>") == 2 == whole.count("</pre>")
    yardstick = Yardstick.of(json.loads(files[report.VERDICT_FILE]))
    lines = [*yardstick.lines(), *yardstick.every_warning]
    assert not [line for line in lines if "\n" in line]
    assert not re.search("[\x1b\u202e]", "".join((text, whole, *lines)))


def test_no_value_pushes_another_out_of_a_gates_line():
    gates = {"robustness": {"bounds": {"x" * 9000: [0, 1]}, "epsilon": 2e-6}}
    (*_, line) = Yardstick.of({**document(evidence(gate="robustness")), "gates": gates}).lines()
    assert line.startswith("robustness: bounds: {x") and line.endswith("…; epsilon: 0.000002")
    assert len(line) < 300


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2e-06, "0.000002"), (8 / 255, repr(8 / 255)), (1.0, "1.0"), (7, "7"), (True, "true"),
        (None, "null"), ("yes", '"yes"'), ("01", '"01"'), ("None", "None"), ("null", '"null"'),
        ("group 1", "group 1"), ("a, b]", '"a, b]"'), ({"a": None, "b": [1]}, "{b: [1]}"),
    ],
)  # fmt: skip
def test_values_are_written_as_yaml_would_read_them(value, shown):
    assert flow(value) == shown


def test_what_the_gates_of_a_small_model_were_asked_is_told_whole():
    """The judges themselves, by what they leave: nothing of a policy is lost on the way."""
    weight = np.array([1.0, -2.0, 0.5])
    plain = linear_samples(weight, count=240)
    groups = {"sex": np.where(np.arange(len(plain)) % 2, "f", "m").astype(np.str_)}
    samples = Samples(
        inputs=plain.inputs, classes=plain.classes, labels=plain.labels, groups=groups
    )
    subject = outside.Subject(
        target=linear_target(weight),
        data=Data(samples=samples, low=0, high=1, features=("a", "b", "c")),
    )
    strict = {"checks": [{"metric": "accuracy", "atLeast": 0.75}]}
    gates = Gates.model_validate({**LOOSE.plain(), "confidence": 0.95, "quality": strict})
    found = [
        outside.judge(gate, subject, gates) for gate in ("quality", "fairness", "explainability")
    ]
    verdict = outside.document(found, name="m", gates=gates, seed=0, judged={}, unused={})
    for _, asked in pages(verdict):
        for one in found:
            assert f"Of {one.gate}" in asked
            for label, value in one.asked:
                assert label in asked and value in asked
            for key in gates.policy(one.gate).plain():
                assert f"{key}:" in asked
        for gate in ("robustness", "integrity"):
            assert f"gates.{gate} is declared and was not judged" in asked


def test_what_several_gates_warn_of_is_told_once_with_their_names():
    found = [evidence(gate=gate, warnings=["few samples"]) for gate in ("quality", "fairness")]
    yardstick = Yardstick.of(document(*found))
    assert yardstick.every_warning == ["quality, fairness: few samples"]
    assert yardstick.counted == "1 warning about the yardstick"
