"""touchstone.yaml is judged before anything runs, and every error names its place."""

from typing import get_args

import pytest

from touchstone.errors import ManifestError
from touchstone.model_repo import load
from touchstone.policy import Poisoning
from trust_gates.integrity import poison

GOOD = """\
apiVersion: touchstone.dev/v1
kind: ModelPipeline
metadata: {name: object-detector}
spec:
  entrypoint: model.py:ObjectDetector
  data: {uri: generate, seed: 7}
  tune:
    maxTrials: 4
    objective: {metric: map50}
    parameters:
      - {name: learning_rate, type: double, min: 0.001, max: 0.1, log: true}
  train: {workers: 2, epochs: 3}
  gates:
    quality: {checks: [{metric: map50, atLeast: 0.8}]}
    robustness:
      epsilon: 8/255
      checks: [{metric: robust_recall, atLeast: 0.3}]
    fairness:
      protected: lighting
      privileged: [day]
      checks: [{metric: equal_opportunity_difference, within: [-0.1, 0.1]}]
    confidence: 0.95
"""


def write(tmp_path, text):
    path = tmp_path / "touchstone.yaml"
    path.write_text(text)
    return path


def test_a_complete_file_is_read(tmp_path):
    write(tmp_path, GOOD)
    pipeline = load(tmp_path)
    assert pipeline.metadata.name == "object-detector"
    assert pipeline.spec.gates.robustness.epsilon == pytest.approx(8 / 255)
    assert pipeline.spec.gates.fairness.checks[0].within == (-0.1, 0.1)
    assert pipeline.spec.serve.protocol == "v2"
    assert pipeline.spec.gates.integrity.poisoning is None


def test_the_integrity_gate_can_be_asked_for_more(tmp_path):
    asked = """\
    integrity:
      checks: [{metric: label_noise, atMost: 0.05}]
      poisoning: {detectors: [hidden_trigger, trigger_inversion], samples: 800, recall: 0.6}
      pinned: true
    confidence: 0.95
"""
    write(tmp_path, GOOD.replace("    confidence: 0.95\n", asked))
    integrity = load(tmp_path).spec.gates.integrity
    assert integrity.poisoning.detectors == ("hidden_trigger", "trigger_inversion")
    assert integrity.pinned


def test_every_detector_of_the_gate_can_be_asked_for():
    asked = get_args(get_args(Poisoning.model_fields["detectors"].annotation)[0])
    assert asked == poison.NAMES
    assert Poisoning().detectors == poison.Policy().detectors


@pytest.mark.parametrize(
    "integrity",
    [
        "{checks: [{metric: accuracy, atLeast: 0.5}]}",
        "{checks: [{metric: planted_recall, atLeast: 0.5}]}",
        "{poisoning: {detectors: []}}",
        "{poisoning: {detectors: [strip]}}",
        "{poisoning: {samples: 10}}",
        "{poisoning: {recall: 1}}",
        "{pinned: sometimes}",
    ],
)
def test_what_the_integrity_gate_cannot_do_is_refused(tmp_path, integrity):
    write(tmp_path, GOOD.replace("    confidence", f"    integrity: {integrity}\n    confidence"))
    with pytest.raises(ManifestError, match="integrity"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("epochs: 3", "epocs: 3", "12:23", "got unknown key spec.train.epocs"),
        ("workers: 2", "workers: two", "12:11", "got 'two', expected a valid integer"),
        ("epochs: 3", "epochs: 0", "12:23", "got 0, expected greater than or equal to 1"),
        ("atLeast: 0.8}", "atLeast: 80}", "14:24", "expected a threshold for map50 in [0, 1]"),
        ("8/255", "8/0", "16:7", "expected a fraction with a denominator other than 0"),
        ("8/255", "255/8", "16:7", "got '255/8', expected less than or equal to 1"),
        ("[-0.1, 0.1]", "[0.1, -0.1]", "21:55", "expected a range [low, high]"),
        ("atLeast: 0.8", "atLeast: .nan", "14:24", "expected a threshold for map50"),
        (", atLeast: 0.8", "", "14:24", "expected exactly one of atLeast, atMost, within"),
        ("confidence: 0.95", "confidence: 1.5", "22:5", "expected less than 1"),
        ("name: object-detector", "name: Object Detector", "3:12", "expected"),
        ("min: 0.001, max: 0.1", "min: 0.1, max: 0.001", "11:9", "expected min < max"),
        ("kind: ModelPipeline", "kind: Pipeline", "2:1", "expected 'ModelPipeline'"),
        ("  data: {uri: generate, seed: 7}\n", "", "4:1", "spec.data is missing"),
        ("kind: ModelPipeline", "kind: [", "4:1", "expected well-formed YAML"),
        ("kind: ModelPipeline", "kind: ModelPipeline\nkind: X", "3:1", "duplicate key"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path, old, new, place, message):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ManifestError) as refusal:
        load(path)
    assert str(refusal.value).startswith(f"{path}:{place}: ")
    assert message in str(refusal.value)
    assert refusal.value.exit_code == 4


def test_several_problems_are_all_told(tmp_path):
    path = write(tmp_path, GOOD.replace("epochs: 3", "epochs: 0").replace("8/255", "x"))
    with pytest.raises(ManifestError) as refusal:
        load(path)
    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n"])
def test_a_file_of_another_shape_is_refused(tmp_path, text):
    with pytest.raises(ManifestError, match="expected a mapping"):
        load(write(tmp_path, text))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ManifestError, match="touchstone.yaml: no such file"):
        load(tmp_path)
