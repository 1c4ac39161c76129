"""A gate's policy is described once: whoever reads it finds the same, or refuses it alike."""

import json
import math
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from touchstone.contract.model_repo import ModelPipeline, load
from touchstone.errors import ManifestError
from trust_gates import GATES, glossary, wording
from trust_gates.errors import PolicyError
from trust_gates.gates import Gates, GatesFile, read_policy
from trust_gates.policy import COMPANY
from trust_gates.quality import CLASSIFICATION, DETECTION, REGRESSION
from trust_gates.quality.policy import ENCODED

ROOT = Path(__file__).parents[3]
CHECKS = [{"metric": "accuracy", "atLeast": 0.8}]
ROBUST = [{"metric": "robust_accuracy", "atLeast": 0.5}]


def test_the_gates_are_those_of_the_table_and_of_the_policies():
    assert tuple(Gates.model_fields) == (*GATES, "confidence")


def test_every_key_is_read_in_the_words_of_touchstone_yaml():
    gates = Gates.model_validate(
        {
            "confidence": 0.9,
            "fairness": {
                "protected": "sex",
                "privileged": ["f"],
                "favorable": "1/2",
                "minimumGroup": 12,
                "checks": [{"metric": "disparate_impact", "within": ["4/5", 1.25]}],
            },
        }
    )
    assert gates.fairness.minimum_group == 12
    assert gates.fairness.favorable == "1/2"  # a class may be named as a fraction is written
    (requirement,) = gates.fairness.requirements
    assert (requirement.required.low, requirement.required.high) == (0.8, 1.25)
    assert Gates.model_validate(gates.plain()) == gates


def test_fractions_are_numbers_in_lists_too():
    section = {"epsilon": "8/255", "sweep": ["1/255", 0.5], "checks": ROBUST}
    policy = Gates.model_validate({"robustness": section}).robustness
    assert policy.epsilon == pytest.approx(8 / 255)
    assert policy.sweep == pytest.approx((1 / 255, 0.5))
    assert policy.requirements[0].required.high == math.inf


@pytest.mark.parametrize(
    ("more", "gates"),
    [
        ({}, 1),
        ({"integrity": {"pinned": True}}, 1),
        ({"integrity": {"poisoning": {}}}, 2),
        ({"integrity": {"checks": [{"metric": "label_noise", "atMost": 0.1}]}}, 2),
        ({"robustness": {"epsilon": 0.1, "checks": ROBUST}}, 2),
    ],
)
def test_gates_that_estimate_share_the_chance_of_error(more, gates):
    found = Gates.model_validate({"confidence": 0.9, "quality": {"checks": CHECKS}, **more})
    assert found.setting(seed=3).confidence == pytest.approx(1 - 0.1 / gates)


def test_an_integrity_gate_alone_decides_at_the_whole_confidence():
    assert Gates(confidence=0.9).confidence_each == pytest.approx(0.9)


WRONG = [
    ("quality", {"minimumSlice": "many"}, "got 'many', expected a valid integer"),
    ("quality", {"minimumSlice": 0}, "got 0, expected greater than or equal to 1"),
    ("quality", {"cheks": 1}, "got unknown key "),
    ("quality", {"champion": {"margin": 2}}, "got 2, expected less than 1"),
    ("quality", {"checks": []}, "got [], expected"),
    ("quality", {"checks": ["accuracy"]}, "got 'accuracy', expected"),
    (
        "quality",
        {"checks": [{"metric": "accuracy", "atLeast": 1.7}]},
        "expected a threshold for accuracy in [0, 1]",
    ),
    (
        "quality",
        {"checks": [{"metric": "accuracy"}]},
        "expected exactly one of atLeast, atMost, within",
    ),
    (
        "quality",
        {"checks": [{"metric": "accuracy", "within": [1, 0]}]},
        "expected a range [low, high] with low <= high",
    ),
    (
        "quality",
        {"checks": [{"metric": "charm", "atLeast": 0.5}]},
        "got the metric 'charm' for the quality gate, expected one of: accuracy",
    ),
    (
        "quality",
        {"checks": [{"metric": "mcnemar_p", "atLeast": 0.5}]},
        "got the metric 'mcnemar_p' for the quality gate",
    ),
    ("robustness", {"samples": 0}, "got 0, expected greater than or equal to 1"),
    ("robustness", {"epsilon": 5}, "got 5, expected less than or equal to 1 under the norm linf"),
    ("robustness", {"epsilon": 0}, "got 0, expected greater than 0"),
    ("robustness", {"attacks": ["fgsm", "foo"]}, "got attacks ['foo'], expected some of ["),
    ("robustness", {"figures": ["magic"]}, "got figures ['magic'], expected some of ["),
    ("fairness", {"alpha": "lots"}, "got 'lots', expected a valid number"),
    ("fairness", {"minimumGroup": 0}, "got 0, expected greater than or equal to 1"),
    ("explainability", {"method": "lime"}, "got 'lime', expected one of ['saliency', "),
    ("explainability", {"proxy": 0}, "got 0, expected greater than 0"),
    ("integrity", {"pinned": "sometimes"}, "got 'sometimes', expected a valid boolean"),
    ("integrity", {"poisoning": {"detectors": ["strip"]}}, "got 'strip', expected one of ['activ"),
    ("integrity", {"poisoning": {"recall": 1}}, "got 1, expected less than 1"),
    (
        "integrity",
        {"checks": [{"metric": "accuracy", "atLeast": 0.5}]},
        "got the metric 'accuracy' for the integrity gate, expected one of: label_noise, leaked",
    ),
    ("confidence", 0.5, "got 0.5, expected greater than 0.5"),
    ("confidence", "high", "got 'high', expected a valid number"),
]
WHOLE = {
    "quality": {"checks": CHECKS},
    "robustness": {"epsilon": 0.1, "checks": ROBUST},
    "fairness": {
        "protected": "sex",
        "privileged": ["f"],
        "checks": [{"metric": "disparate_impact", "atLeast": 0.8}],
    },
    "explainability": {"checks": [{"metric": "stability", "atLeast": 0.5}]},
    "integrity": {},
}


@pytest.mark.parametrize(("part", "wrong", "words"), WRONG)
def test_a_wrong_value_is_refused_in_the_same_words_wherever_it_stands(
    tmp_path, part, wrong, words, monkeypatch, capsys
):
    from touchstone import cli

    gates = WHOLE | {part: WHOLE[part] | wrong if isinstance(wrong, dict) else wrong}
    manifest = yaml.safe_load((ROOT / "training/examples/tabular/touchstone.yaml").read_text())
    manifest["spec"]["gates"] = gates
    (tmp_path / "touchstone.yaml").write_text(yaml.safe_dump(manifest))
    file = tmp_path / "gates.yaml"
    file.write_text(yaml.safe_dump({"gates": gates}))

    with pytest.raises(ManifestError) as whole:
        load(tmp_path)
    with pytest.raises(PolicyError) as alone:
        read_policy(file)
    monkeypatch.setattr("sys.argv", ["touchstone", "gate", "quality", f"--policy={file}"])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 4
    typed = capsys.readouterr().err

    said = str(alone.value).removeprefix(f"{file}: ")
    assert words in said
    _, _, located = str(whole.value).partition(".yaml:")
    assert located.partition(": ")[2].replace("spec.gates", "gates") == said
    assert f"touchstone: {file}:" in typed
    assert said in typed


def test_what_the_file_itself_has_wrong_is_said():
    with pytest.raises(ValidationError) as error:
        GatesFile.model_validate({"gate": {}})
    problems = wording.problems(error.value, lambda path: ".".join(map(str, path)), GatesFile)
    unknown = "got unknown key gate, expected one of the documented keys; did you mean 'gates'?"
    assert problems == [("gates", "gates is missing"), ("gate", unknown)]


@pytest.mark.parametrize("name", ["tabular", "object-detection"])
def test_the_published_schema_accepts_the_examples_and_what_they_say_of_gates(name):
    document = yaml.safe_load((ROOT / f"training/examples/{name}/touchstone.yaml").read_text())
    jsonschema.validate(document, ModelPipeline.model_json_schema())
    jsonschema.validate({"gates": document["spec"]["gates"]}, GatesFile.model_json_schema())
    document["spec"]["gates"]["quality"]["minimumSlice"] = "many"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, ModelPipeline.model_json_schema())
    del document["spec"]["gates"]["quality"]
    with pytest.raises(jsonschema.ValidationError, match="'quality' is a required property"):
        jsonschema.validate(document, ModelPipeline.model_json_schema())


def test_every_field_of_every_policy_says_what_it_means():
    definitions = Gates.model_json_schema()["$defs"]
    for gate in GATES:
        for key, field in definitions[gate.capitalize()]["properties"].items():
            assert field.get("description"), f"{gate}.{key}"
    assert json.dumps(definitions)


def test_every_metric_that_can_be_a_check_says_what_to_do():
    plain = {"clean", "noise", "object_area", "random_weights_similarity", "champion_accuracy"}
    plain |= {
        "champion_map50",
        "champion_r2",
        "mcnemar_p",
        "trigger_anomaly_index",
        "planted_anomaly_index",
    }
    plain |= {"planted_success"}
    assert {name for name, metric in glossary.METRICS.items() if not metric.advice} == plain
    for metric in glossary.METRICS.values():
        assert not metric.advice or metric.advice.endswith("."), metric.name


@pytest.mark.parametrize("task", ["classification", "detection", "regression"])
def test_the_metrics_of_a_task_are_those_that_the_gate_measures(task):
    measured = {
        "classification": (*CLASSIFICATION, "worst_slice_accuracy"),
        "detection": (*DETECTION, "worst_slice_recall"),
        "regression": (*REGRESSION, "worst_slice_mean_absolute_error"),
    }[task]
    of_all = {"gain_over_champion", "constant_prediction", "non_finite_outputs", COMPANY, ENCODED}
    offered = {one.name for one in glossary.of_gate("quality") if one.advice}
    offered = {name for name in offered if glossary.METRICS[name].serves(task)}
    assert offered == {*measured, *of_all}
