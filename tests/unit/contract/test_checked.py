"""A model repository is checked before anything is trained: every problem, with its place."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from touchstone import cli, confine
from touchstone.contract import checked, seen
from touchstone.contract.seen import Described, Seen
from touchstone.errors import ManifestError
from touchstone.home import SHIPPED
from touchstone.training.spec import Description

TABULAR = SHIPPED / "training" / "examples" / "tabular"
TEXT = (TABULAR / "touchstone.yaml").read_text()

PATIENTS = Description(
    task="classification",
    classes=("slower", "faster"),
    inputs={"shape": [3], "low": 0.0, "high": 1.0, "features": ["age", "sex", "bmi"]},
    protected={"sex": ("group 1", "group 2")},
    seed=7,
)


def known(
    description=PATIENTS,
    test=111,
    groups=((29, 29), (27, 26)),
    parameters=("width", "dropout"),
    estimator=False,
    **more,
):
    """What a look would have shown."""
    return Seen(
        task=description.task,
        estimator=estimator,
        description=description,
        data=Described(
            description=None,
            sizes={"test": test},
            groups={"sex": [list(one) for one in groups]},
            spread=[0.5, 1.0, 0.4],
        ),
        parameters=None if parameters is None else frozenset(parameters),
        **more,
    )


@pytest.fixture
def check(tmp_path, monkeypatch):
    """The problems of a changed touchstone.yaml beside code of which all is known."""

    def run(*pairs, **looked):
        text = TEXT
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "touchstone.yaml").write_text(text)
        monkeypatch.setattr(seen, "look", lambda *_, **__: known(**looked))
        return [str(one) for one in checked.check(tmp_path).problems]

    return run


def test_the_example_has_no_problem(check):
    assert check() == []


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        (
            "val_accuracy",
            "val_acuracy",
            "15:17",
            "expected one of val_accuracy, val_balanced_accuracy, loss: what a trial of a",
        ),
        ("val_accuracy", "val_map50", "15:17", "spec.tune.objective.metric: got 'val_map50'"),
        ("goal: maximize", "goal: minimize", "15:5", "expected maximize"),
        (
            "name: width",
            "name: widht",
            "18:10",
            "expected one of learning_rate, weight_decay, dropout, width: what training and",
        ),
        ("name: dropout", "name: width", "19:10", "got 'width' twice"),
        (
            "min: 8, max: 32",
            "min: 8.5, max: 32",
            "18:9",
            "got a fraction as an end of the int 'width'",
        ),
        ("algorithm: tpe", "algorithm: grid", "17:9", "got the algorithm grid for the double"),
        ("batchSize: 32", "batchSize: 33", "23:5", "got 33 for 2 workers"),
        (
            "metric: accuracy",
            "metric: map50",
            "29:12",
            "got 'map50', which detection models are measured by",
        ),
        ("metric: robust_accuracy", "metric: robust_recall", "37:12", "which detection models"),
        (
            "statistical_parity_difference",
            "mean_residual_difference",
            "44:12",
            "which regression models",
        ),
        ("metric: stability", "metric: pointing_game", "51:12", "got 'pointing_game'"),
        (
            "epsilon: 0.01",
            "epsilon: 1",
            "32:7",
            "expected less than 1: an attacker could put any input",
        ),
        ("epsilon: 0.01", "epsilon: 0.00001", "32:7", "it changes next to nothing"),
        (
            "protected: sex",
            "protected: sexx",
            "39:7",
            "'sexx', expected one of 'sex'; did you mean 'sex'?",
        ),
        ("[group 1]", "[group 3]", "40:7", "got the privileged value of sex 'group 3'"),
        ("[group 1]", "[group 1, group 2]", "40:7", "got every value of sex as privileged"),
        ("favorable: slower", "favorable: slow", "41:7", "got the favorable class 'slow'"),
        (
            "samples: 110\n      sweep",
            "samples: 110\n      immutable: [agee]\n      sweep",
            "35:7",
            "got the immutable feature 'agee'",
        ),
        ("atLeast: 0.55", "atLeast: 0.99", "29:11", "no model can pass on 111 test samples"),
        (
            "within: [-0.45, 0.45]",
            "within: [-0.05, 0.05]",
            "44:11",
            "no model can pass: where both groups of sex fare alike",
        ),
        (
            "samples: 110\n      checks",
            "samples: 20\n      checks",
            "48:7",
            "expected at least 30: no model can pass",
        ),
        (
            "minimumGroup: 20",
            "minimumGroup: 40",
            "45:11",
            "it rests on 27 unprivileged and 29 privileged",
        ),
        (
            "batchSize: 32",
            "batchSize: 32\n    mitigation: {method: reweighing, protected: age, privileged: [x]}",
            "24:5",
            "got the protected attribute 'age'",
        ),
    ],
)
def test_what_the_code_and_the_data_do_not_bear_out_is_told_where_it_is_asked(
    check, old, new, place, words
):
    found = check((old, new))
    told = [one for one in found if words in one]
    assert told and told[0].startswith(f"touchstone.yaml:{place}: "), found


def test_limits_that_leave_an_attacker_nothing_to_change_are_told(check):
    fixed = "{age: [0.5, 0.5], sex: [0, 0], bmi: [1, 1]}"
    found = check(("      sweep", f"      bounds: {fixed}\n      sweep"))
    assert len(found) == 1 and "spec.gates.robustness.bounds: got only immutable" in found[0]


def test_every_problem_is_told_at_once_in_the_order_of_the_file(check):
    found = check(
        ("val_accuracy", "val_map5"),
        ("metric: accuracy", "metric: acuracy"),
        ("protected: sex", "protected: age"),
        ("min: 8, max: 32", "min: 32, max: 8"),
        ("epsilon: 0.01", "epsilon: 1"),
        ("canary: 100", "canry: 100"),
    )
    assert [one.split(":")[1] for one in found] == ["18", "29", "32", "39", "59"]
    assert "did you mean 'accuracy'?" in found[1]
    assert found[-1].endswith("expected one of the documented keys; did you mean 'canary'?")
    # The search space does not fit, so its objective is not known; all the rest is.


def test_an_unknown_key_hides_nothing_of_the_gate_that_it_stands_in(check):
    found = check(
        ("minimumGroup", "minimumGrup"),
        ("favorable: slower", "favorable: slow"),
        ("val_accuracy", "val_map5"),
        ("    maxTrials", "    maxTrial: 1\n    maxTrials"),
    )
    assert [one.split(":")[1] for one in found] == ["12", "16", "42", "43"]


def test_parts_that_contradict_each_other_are_told_beside_all_the_rest(check):
    remedy = "  remedy: {fairness: reweighing}\n  promote:"
    pairs = [
        ("metric: robust_accuracy", "metric: evasion_auc"),
        ("batchSize: 32", "batchSize: 32\n    mitigation: {method: reweighing}"),
        ("  promote:", remedy),
    ]
    assert [one.split(": ", 2)[2] for one in check(*pairs)] == [
        "got checks of evasion_auc without spec.train.evasionDetector, expected the detector that"
        " they are of",
        "got the remedy reweighing, expected another: spec.train applies it already",
    ]
    assert len(check(*pairs, ("canary: 100", "canry: 100"))) == 3


def test_on_few_samples_it_is_told_that_nothing_can_be_decided(check):
    found = check(test=20, groups=((5, 5), (5, 5)))
    assert any("got 20 samples in the test split, expected at least 30" in one for one in found)


def test_a_threshold_that_the_split_can_show_is_no_problem(check):
    assert check(("atLeast: 0.55", "atLeast: 0.95")) == []
    assert check(("[-0.45, 0.45]", "[-0.12, 0.12]")) == []


def test_images_in_grey_levels_are_told_that_epsilon_is_in_their_units(check):
    scenes = Description(
        task="classification",
        classes=("slower", "faster"),
        inputs={"shape": [3, 8, 8], "low": 0.0, "high": 255.0},
        protected={"sex": ("group 1", "group 2")},
        seed=7,
    )
    found = check(("epsilon: 0.01", "epsilon: 8/255"), description=scenes)
    assert any("Epsilon is in the units of the inputs, which lie in [0, 255]" in o for o in found)
    assert any("got 'protected_share' for images" in one for one in found)


def test_of_tokens_it_is_named_what_cannot_be_trained_or_judged(check):
    texts = Description(
        task="classification",
        classes=("slower", "faster"),
        inputs={"shape": [8], "dtype": "int64", "low": 0, "high": 900},
        protected={"sex": ("group 1", "group 2")},
        seed=7,
    )
    assert check(description=texts) == []
    mitigation = "train:\n    mitigation: {method: disparate_impact_remover, protected: sex,"
    found = check(
        ("train:", f"{mitigation} favorable: slower}}\n    evasionDetector: {{}}"),
        ("integrity: {}", "integrity: {poisoning: {}}"),
        description=texts,
        unembedded="got tokens that are given to 2 embeddings",
    )
    places = ("train.mitigation", "train.evasionDetector", "gates.robustness")
    places += ("gates.explainability", "gates.integrity.poisoning")
    for place in places:
        assert any(f"spec.{place}: got " in one for one in found)
    assert len(found) == len(places)


def validate(*words):
    return CliRunner().invoke(cli._app(), ["validate", *map(str, words)])


@pytest.fixture
def repository(tmp_path):
    """The example as somebody's own repository."""
    folder = tmp_path / "mine"
    shutil.copytree(TABULAR, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_repository_is_checked_with_its_code_confined(repository):
    done = validate(repository)
    assert done.exit_code == 0, done.output
    assert "diabetes-progression: no problem found; classification, 111 samples" in done.output


def test_where_there_is_nothing_to_check_that_is_no_success(tmp_path):
    done = validate(tmp_path)
    assert isinstance(done.exception, ManifestError)
    assert f"got nothing to check in {tmp_path}, expected" in str(done.exception)


def test_code_and_touchstone_yaml_are_told_together_and_as_json(repository):
    (repository / "touchstone.yaml").write_text(
        TEXT.replace("favorable: slower", "favorable: slow")
    )
    model = (repository / "model.py").read_text()
    (repository / "model.py").write_text(
        model.replace("nn.Linear(width, 2)", "nn.Linear(width, 3)")
    )
    done = validate(repository, "--json")
    assert str(done.exception) == "got 2 problems, expected none"
    first, second = json.loads(done.stdout)["problems"]
    assert first["location"] == f"{repository}/touchstone.yaml:41:7"
    assert first["message"].startswith(
        "spec.gates.fairness.favorable: got the favorable class 'slow'"
    )
    assert second["location"].startswith(f"{repository}/model.py:")
    assert "predict: got a tensor of shape (8, 3), expected logits (N, K)" in second["message"]


def test_where_code_cannot_be_confined_it_is_not_run_and_that_is_said(repository, monkeypatch):
    nothing = confine.Means(False, False, False, "none here")
    monkeypatch.setattr(confine, "means", lambda: nothing)
    (repository / "model.py").write_text("open('ran', 'w')\n")
    done = validate(repository)
    assert done.exit_code == 0
    assert "note: the code was not looked at: got nothing to confine" in done.stderr
    assert "--unconfined" in done.stderr
    assert not (repository / "ran").exists()


def test_code_that_ends_its_process_or_lies_about_what_it_is_leaves_a_problem_or_nothing(
    repository,
):
    (repository / "model.py").write_text("import os\nos._exit(0)\n")
    found = checked.check(repository)
    assert [one.message for one in found.problems] or found.notes
    (repository / "model.py").write_text(
        "import os\n"
        "for n in range(3, 4096):\n"
        "    try:\n"
        '        os.write(n, b\'{"seen": {"task": "x", "description": [], "parameters": 1}}\\n'
        '[]\\n{"step": 7}\\n{"problem": {}, "at": [{}]}\\n\' + b\'[\' * 10000 + b\'\\n\')\n'
        "    except OSError:\n"
        "        pass\n"
        "os._exit(3)\n"
    )
    found = checked.check(repository)
    assert any("ended with exit code 3" in one.message for one in found.problems)


def test_what_a_look_says_forges_no_line_of_its_own():
    found = Seen()
    seen._add(found, "model.py:1: x\nmine: no problem found\r\x1b[2J", ["spec", "a\nmine: fits"])
    ((words, at),) = found.problems
    assert words.splitlines() == ["model.py:1: x", "  mine: no problem found", "  \\u001b[2J"]
    assert at == ("spec", "a mine: fits")


def test_an_import_without_end_is_told_and_ended(repository, monkeypatch):
    monkeypatch.setitem(seen.PATIENCE, "code", 2.0)
    (repository / "model.py").write_text("import time\ntime.sleep(600)\n")
    (problem,) = checked.check(repository).problems
    assert "took longer than 2 s" in problem.message


@pytest.mark.parametrize(
    "change",
    [
        {"description": []},
        {"description": {"task": "classification"}},
        {"description": {**PATIENTS.to_json(), "seed": float("inf")}},
        {"description": {**PATIENTS.to_json(), "task": "guess"}},
        {"inputs": {"shape": "many", "low": 0, "high": 1}},
        {"inputs": {"shape": [3], "low": 1, "high": 0}},
        {"inputs": {"shape": [-3], "low": 0, "high": float("nan")}},
        {"inputs": {"shape": [3], "low": 0, "high": 1, "features": [[]]}},
        {"groups": {"sex": [[1]]}},
        {"groups": {"sex": [[-1, 2], [3, 4]]}},
        {"groups": {"age": [[1, 2], [3, 4]]}},
        {"spread": [0.0]},
        {"spread": ["a"]},
        {"sizes": {"test": -1}},
        {"sizes": []},
    ],
)
def test_what_a_look_says_of_the_data_counts_only_where_it_could_be_true(tmp_path, change):
    told = {
        "description": PATIENTS.to_json(),
        "sizes": {"test": 40},
        "groups": {"sex": [[10, 10], [10, 10]]},
        "spread": [1.0, 1.0, 1.0],
    }
    found = Seen()
    seen._learn(found, told)
    assert found.description == PATIENTS
    if "inputs" in change:
        told["description"] = {**told["description"], **change}
    else:
        told |= change
    found = Seen()
    seen._learn(found, told)
    assert found.description is None and found.data is None


def test_what_only_a_network_can_be_asked_is_told_before_an_estimator_is_fitted(check):
    """The example trains with two workers; an estimator is fitted by one."""
    found = check(("integrity: {}", "integrity: {poisoning: {}}"), estimator=True)
    assert [line.split(": ", 2)[1:] for line in found] == [
        ["spec.train.workers", "got 2 for an estimator, expected 1: one process fits it"],
        [
            "spec.gates.integrity.poisoning",
            "got a search for backdoors in an estimator, expected none: it looks at the layers of a"
            " network",
        ],
    ]
    remedy = "  remedy: {fairness: prejudice_remover, robustness: trades}\n  promote:"
    found = check(("workers: 2", "workers: 1"), ("  promote:", remedy), estimator=True)
    assert [line.split(": ", 2)[1] for line in found] == [
        "spec.remedy.fairness",
        "spec.remedy.robustness",
    ]
    assert check() == []
