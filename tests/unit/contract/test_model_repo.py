"""touchstone.yaml is judged before anything runs, and every error names its place."""

import os

import pytest

from touchstone.contract.model_repo import ModelPipeline, load
from touchstone.errors import ManifestError
from trust_gates.integrity import poison
from trust_gates.integrity.policy import Poisoning

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
      poisoning: {detectors: [hidden_trigger, trigger_inversion], marks: [blended], recall: 0.6}
      pinned: true
    confidence: 0.95
"""
    write(tmp_path, GOOD.replace("    confidence: 0.95\n", asked))
    integrity = load(tmp_path).spec.gates.integrity
    assert integrity.poisoning.detectors == ("hidden_trigger", "trigger_inversion")
    assert integrity.poisoning.marks == ("blended",)
    assert integrity.pinned


def test_an_integrity_gate_that_estimates_takes_its_share_of_the_chance_of_error(tmp_path):
    write(tmp_path, GOOD)
    three = load(tmp_path).spec.gates.confidence_each
    assert three == pytest.approx(1 - 0.05 / 3)
    write(
        tmp_path, GOOD.replace("    confidence", "    integrity: {poisoning: {}}\n    confidence")
    )
    assert load(tmp_path).spec.gates.confidence_each == pytest.approx(1 - 0.05 / 4)


def test_every_detector_of_the_gate_can_be_asked_for():
    offered = Poisoning.model_json_schema()["properties"]["detectors"]["items"]["enum"]
    assert offered == [*poison.DETECTORS, "trigger_inversion"]
    assert Poisoning().detectors == tuple(poison.DETECTORS)


@pytest.mark.parametrize(
    "integrity",
    [
        "{checks: [{metric: accuracy, atLeast: 0.5}]}",
        "{checks: [{metric: planted_recall, atLeast: 0.5}]}",
        "{poisoning: {detectors: []}}",
        "{poisoning: {detectors: [strip]}}",
        "{poisoning: {marks: [sticker]}}",
        "{poisoning: {marks: []}}",
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
        ("epochs: 3", '"e\\nmine: fits": 3', "12:23", "got unknown key spec.train.e mine: fits"),
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
        (
            "quality: {checks",
            "quality: {champion: {margin: 2}, checks",
            "14:26",
            "got 2, expected less than 1",
        ),
        (
            "    confidence: 0.95",
            "    explainability: {method: lime, checks: [{metric: stability, atLeast: 0}]}",
            "22:22",
            "got 'lime', expected one of ['saliency', 'integrated_gradients'",
        ),
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


def test_the_gates_that_estimate_share_the_verdicts_error(tmp_path):
    gates = load(write(tmp_path, GOOD)).spec.gates
    assert gates.declared == ("quality", "robustness", "fairness", "integrity")
    assert 1 - gates.confidence_each == pytest.approx(0.05 / 3)
    more = "    explainability: {checks: [{metric: stability, atLeast: 0.5}]}\n    confidence"
    gates = load(write(tmp_path, GOOD.replace("    confidence", more))).spec.gates
    assert gates.declared == ("quality", "robustness", "fairness", "explainability", "integrity")
    assert 1 - gates.confidence_each == pytest.approx(0.05 / 4)
    assert gates.explainability.method == "integrated_gradients"


FAIRNESS = """\
      protected: lighting
      privileged: [day]
"""
SEVERAL = """\
      protected:
        - {name: lighting, privileged: [day]}
        - {name: weather, privileged: [dry, cloudy]}
"""
MITIGATED = "train: {workers: 2, epochs: 3, mitigation: {method: reweighing, favorable: car}}"


def test_who_approves_a_promotion_is_not_the_models_authors_to_say(tmp_path):
    text = GOOD + "  promote: {environments: [production], review: {production: automatic}}\n"
    with pytest.raises(ManifestError, match=r"got unknown key spec\.promote\.review"):
        load(write(tmp_path, text))


def test_several_protected_attributes_are_read_as_one_was(tmp_path):
    one = load(write(tmp_path, GOOD)).spec.gates.fairness
    assert [(a.name, a.privileged) for a in one.attributes] == [("lighting", ("day",))]
    several = load(write(tmp_path, GOOD.replace(FAIRNESS, SEVERAL))).spec.gates.fairness
    assert [a.name for a in several.attributes] == ["lighting", "weather"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("      protected: lighting\n", "`protected: name` with its `privileged: [values]`"),
        (SEVERAL + "      privileged: [day]\n", "or a list of {name, privileged} without"),
        ("      protected: []\n", "at least one protected attribute, each once"),
        (SEVERAL.replace("weather", "lighting"), "at least one protected attribute, each once"),
        (FAIRNESS + "      alpha: lots\n", "expected a valid number"),
    ],
)
def test_attributes_that_do_not_say_who_is_privileged_are_refused(tmp_path, new, message):
    with pytest.raises(ManifestError) as refusal:
        load(write(tmp_path, GOOD.replace(FAIRNESS, new)))
    assert message in str(refusal.value)


def test_a_fairness_figure_that_does_not_exist_is_refused_before_anything_runs(tmp_path):
    text = GOOD.replace("equal_opportunity_difference", "equal_oportunity_difference")
    with pytest.raises(
        ManifestError, match="got the metric 'equal_oportunity_difference' for the fairness gate"
    ):
        load(write(tmp_path, text))


def test_a_mitigation_takes_from_the_fairness_gate_what_it_does_not_say(tmp_path):
    text = GOOD.replace("train: {workers: 2, epochs: 3}", MITIGATED)
    found = load(write(tmp_path, text)).spec.mitigation
    assert (found.protected, found.privileged, found.favorable) == ("lighting", ("day",), "car")
    assert load(write(tmp_path, GOOD)).spec.mitigation is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reweighing", "rewaying", "mitigation: got the method 'rewaying', expected one of rewei"),
        (", favorable: car", "", "protected, privileged and favorable in it"),
        ("favorable: car", "favorable: car, protected: age", "protected, privileged and favorable"),
        ("favorable: car", "favorable: car, options: {eta: 1}", "got the option 'eta'"),
    ],
)
def test_a_mitigation_that_does_not_fit_is_refused(tmp_path, old, new, message):
    wrong = MITIGATED.replace(old, new)
    with pytest.raises(ManifestError) as refusal:
        load(write(tmp_path, GOOD.replace("train: {workers: 2, epochs: 3}", wrong)))
    assert message in str(refusal.value)


def test_several_problems_are_all_told(tmp_path):
    path = write(tmp_path, GOOD.replace("epochs: 3", "epochs: 0").replace("8/255", "x"))
    with pytest.raises(ManifestError) as refusal:
        load(path)
    assert len(str(refusal.value).splitlines()) == 2


def with_robustness(text):
    return GOOD.replace("      epsilon: 8/255\n", f"      {text}\n")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("epsilon: 1\n      sweep: [2]", "17:7", "expected less than or equal to 1 under"),
        ("epsilon: 1\n      attacks: [fgsm, foo]", "17:7", "expected some of ['apgd-ce'"),
        ("epsilon: 1\n      attacks: [fgsm]", "17:7", "expected a black-box one of ['square'"),
        ("epsilon: 1\n      bounds: {dose: [1, 0]}", "17:16", "expected a range [low, high]"),
        ("epsilon: 1\n      steps: 0", "17:7", "expected greater than or equal to 1"),
    ],
)
def test_an_attack_that_cannot_be_run_is_refused(tmp_path, text, place, message):
    path = write(tmp_path, with_robustness(text))
    with pytest.raises(ManifestError) as refusal:
        load(path)
    assert str(refusal.value).startswith(f"{path}:{place}: ")
    assert message in str(refusal.value)


def test_ensembles_wide_budgets_and_what_stays_out_of_reach_are_understood(tmp_path):
    text = "norm: l2\n      epsilon: 3\n      attacks: [autoattack]\n      immutable: [age]"
    robustness = load(write(tmp_path, with_robustness(text))).spec.gates.robustness
    assert (robustness.epsilon, robustness.attacks) == (3, ("autoattack",))
    assert (robustness.immutable, robustness.sequential) == (("age",), True)


def test_the_schema_offers_every_attack():
    from trust_gates.robustness import attacks

    schema = ModelPipeline.model_json_schema()["$defs"]["Robustness"]["properties"]["attacks"]
    assert schema["items"]["enum"] == [*attacks.ATTACKS, *attacks.ENSEMBLES]


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n"])
def test_a_file_of_another_shape_is_refused(tmp_path, text):
    with pytest.raises(ManifestError, match="expected a mapping"):
        load(write(tmp_path, text))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ManifestError, match="touchstone.yaml: no such file"):
        load(tmp_path)


BUDGET = "      epsilon: 8/255\n"


def trained(tmp_path, more, budget=BUDGET):
    text = GOOD.replace("epochs: 3}", f"epochs: 3, {more}}}")
    return load(write(tmp_path, text.replace(BUDGET, budget)))


def test_defences_are_read_in_their_order_against_what_the_gate_attacks_with(tmp_path):
    more = (
        "defences: [{method: feature_squeezing, options: {bits: 5}}, "
        "{method: adversarial_training}, {method: trades, options: {norm: l2, epsilon: 1/2}}]"
    )
    gate = "      norm: linf\n      epsilon: 4/255\n"
    squeezing, madry, trades = trained(tmp_path, more, gate).spec.defences
    assert squeezing.options == {"bits": 5}
    assert madry.options == {"norm": "linf", "epsilon": pytest.approx(4 / 255)}
    assert trades.options == {"norm": "l2", "epsilon": 0.5}
    assert load(write(tmp_path, GOOD)).spec.defences == ()
    (other,) = trained(tmp_path, "defences: [{method: trades, options: {norm: l2}}]").spec.defences
    assert other.options == {"norm": "l2"}  # the gate's epsilon is none under l2


def test_a_budget_that_training_does_not_know_is_not_taken_from_the_gate(tmp_path):
    gate = "      norm: l1\n      epsilon: 2\n      attacks: [apgd-ce, square]\n"
    more = "defences: [{method: adversarial_training}], evasionDetector: {}"
    spec = trained(tmp_path, more, gate).spec
    assert spec.defences[0].options == {}
    assert spec.evasion.norm == "linf"


def test_a_detector_is_off_by_default_and_learns_from_the_gates_budget(tmp_path):
    assert load(write(tmp_path, GOOD)).spec.evasion is None
    found = trained(tmp_path, "evasionDetector: {on: inputs, falsePositiveRate: 0.02}").spec.evasion
    assert (found.on, found.false_positive_rate) == ("inputs", 0.02)
    assert found.epsilon == pytest.approx(8 / 255)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("defences: [{method: magic}]", "expected one of feature_squeezing"),
        ("defences: [{method: trades, options: {beta: -1}}]", "a number from 0"),
        ("defences: [{method: trades, beta: 1}]", "got unknown key"),
        ("evasionDetector: {on: labels}", "expected 'inputs' or 'activations'"),
        ("evasionDetector: {falsePositiveRate: 0}", "expected greater than 0"),
    ],
)
def test_a_defence_that_makes_no_sense_is_refused_before_anything_runs(tmp_path, more, message):
    with pytest.raises(ManifestError) as refusal:
        trained(tmp_path, more)
    assert message in str(refusal.value)


def test_a_check_of_a_detector_needs_one(tmp_path):
    text = GOOD.replace("{metric: robust_recall,", "{metric: evasion_auc,")
    with pytest.raises(ManifestError, match=r"of evasion_auc without spec\.train\.evasionDetector"):
        load(write(tmp_path, text))
    load(write(tmp_path, text.replace("epochs: 3}", "epochs: 3, evasionDetector: {}}")))


@pytest.mark.parametrize("leave", ["link", "link inside", "fifo", "folder", "endless"])
def test_a_touchstone_yaml_that_is_no_file_of_the_repository_is_refused_unread(tmp_path, leave):
    secret = tmp_path / "secret"
    secret.write_text("root:x:0:0\n  - broken: [")
    repository = tmp_path / "repository"
    repository.mkdir()
    file = repository / "touchstone.yaml"
    match leave:
        case "link":
            file.symlink_to(secret)
        case "link inside":
            (repository / "other.yaml").write_text(GOOD)
            file.symlink_to("other.yaml")
        case "fifo":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "endless":
            with file.open("wb") as stream:
                stream.truncate(20 << 30)
    with pytest.raises(ManifestError, match="got (a|more)") as caught:
        load(repository)
    assert caught.value.location == str(file)
    assert "root:x" not in str(caught.value)


@pytest.mark.parametrize("file", ["/etc/model.py", "../model.py", "a/../../model.py", ".."])
def test_an_entrypoint_is_a_file_inside_of_the_repository(tmp_path, file):
    write(tmp_path, GOOD.replace("model.py:ObjectDetector", f"{file}:Object"))
    with pytest.raises(ManifestError, match=r"entrypoint: got '.*', expected"):
        load(tmp_path)
