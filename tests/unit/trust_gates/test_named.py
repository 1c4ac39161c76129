"""A name in a policy is what was typed, and means what the data call so."""

import json
import textwrap

import pytest

from touchstone.documents.validated import validated
from touchstone.documents.yaml import load_one
from touchstone.errors import ManifestError
from trust_gates.errors import PolicyError
from trust_gates.gates import GatesFile, read_policy
from trust_gates.inputs import dataset, predictions
from trust_gates.inputs.description import Description
from trust_gates.inputs.sklearn import _order
from trust_gates.named import Known, find, ordered

FAIR = """
    gates:
      fairness:
        protected: {protected}
        privileged: [{privileged}]
        favorable: {favorable}
        checks: [{{metric: disparate_impact, atLeast: 0.8}}]
"""


def both(tmp_path, text):
    """The gates as a gates file and as a touchstone.yaml's reader have them: they must agree."""
    text = textwrap.dedent(text)
    file = tmp_path / "gates.yaml"
    file.write_text(text)
    found = validated(load_one(text, "gates.yaml"), GatesFile).gates
    assert read_policy(file) == found
    return found


def fair(tmp_path, *, protected="sex", privileged="m", favorable="good"):
    text = FAIR.format(protected=protected, privileged=privileged, favorable=favorable)
    return both(tmp_path, text).fairness


@pytest.mark.parametrize(
    "typed",
    ["1", "01", "1.0", "-1", "0x10", "1e3", "1_000", "yes", "no", "true", "True", "None", "NA",
     "null", "~", ".nan", "2020-01-01", "0o7", "+1"],
)  # fmt: skip
def test_a_name_is_the_text_that_was_typed_whatever_yaml_makes_of_it(tmp_path, typed):
    found = fair(tmp_path, protected=typed, privileged=typed, favorable=typed)
    assert (found.protected, found.privileged, found.favorable) == (typed, (typed,), typed)
    quoted = fair(tmp_path, protected=f"'{typed}'", privileged=f'"{typed}"', favorable=f"'{typed}'")
    assert quoted == found


def test_names_are_as_typed_wherever_a_policy_has_some(tmp_path):
    gates = both(
        tmp_path,
        """
        gates:
          fairness:
            favorable: [1, yes]
            protected:
              - {name: 01, privileged: [1, 02]}
              - {name: off, privileged: [1.50]}
            checks: [{metric: disparate_impact, atLeast: 0.8}]
          explainability:
            protected: [01, null]
            checks: [{metric: faithfulness, atLeast: 0.1}]
          robustness:
            epsilon: 1/10
            immutable: [007]
            bounds: {1.50: [0, 1], 01: [0, 0.5]}
            checks: [{metric: robust_accuracy, atLeast: 0.5}]
        """,
    )
    assert gates.fairness.favorable == ("1", "yes")
    named = [(one.name, one.privileged) for one in gates.fairness.attributes]
    assert named == [("01", ("1", "02")), ("off", ("1.50",))]
    assert gates.explainability.protected == ("01", "null")
    assert gates.robustness.immutable == ("007",)
    assert gates.robustness.bounds == {"1.50": (0, 1), "01": (0, 0.5)}
    assert gates.robustness.epsilon == 0.1


def test_an_alias_and_a_merge_are_typed_where_they_stand_first(tmp_path):
    gates = both(
        tmp_path,
        """
        gates:
          fairness: &fair
            protected: sex
            privileged: &who [01]
            favorable: 1
            checks: [{metric: disparate_impact, atLeast: 0.8}]
          explainability:
            protected: *who
            checks: [{metric: faithfulness, atLeast: 0.1}]
        """,
    )
    assert gates.fairness.privileged == gates.explainability.protected == ("01",)


def test_a_name_that_is_left_empty_is_not_given(tmp_path):
    assert fair(tmp_path, favorable="").favorable is None


def test_names_of_a_training_are_as_typed_too(tmp_path):
    from touchstone.contract import model_repo

    (tmp_path / "touchstone.yaml").write_text(
        textwrap.dedent("""
        apiVersion: touchstone.dev/v1
        kind: ModelPipeline
        metadata: {name: german}
        spec:
          entrypoint: model.py:Model
          data: {uri: generate}
          train: {mitigation: {method: reweighing, protected: 1, privileged: [01], favorable: 1}}
          remedy: {fairness: {method: reject_option, protected: 1, privileged: [01], favorable: 2}}
          gates:
            quality: {checks: [{metric: accuracy, atLeast: 0.5}]}
            fairness:
              protected: [{name: 1, privileged: [01]}]
              favorable: 1
              checks: [{metric: disparate_impact, atLeast: 0.8}]
        """)
    )
    spec = model_repo.load(tmp_path).spec
    assert (spec.mitigation.protected, spec.mitigation.privileged) == ("1", ("01",))
    assert (spec.mitigation.favorable, spec.remedy.fairness.favorable) == ("1", "2")


def test_a_mapping_is_no_name(tmp_path):
    with pytest.raises(ManifestError, match="favorable"):
        validated(load_one(textwrap.dedent(FAIR.format(
            protected="sex", privileged="m", favorable="{a: 1}")), "g"), GatesFile)  # fmt: skip


@pytest.mark.parametrize(
    ("known", "asked", "said"),
    [
        (("1", "2"), "3", "got the class '3', expected one of '1', '2'"),
        (("1.0", "2.0"), "1", "got the class '1', expected one of '1.0', '2.0'"),
        (("1", "2"), "2.0", "; write '2' as the data do"),
        (("1", "1.0", "2"), "1", "which could be '1' or '1.0' of the data"),
        ((" Male", "Female"), "Male", "; write ' Male' as the data do"),
        ((" Male", "Male"), "Male", "could be 'Male' or ' Male'"),
        (("e\u0301", "\u00e9"), "\u00e9", "names that do not look the same"),
        ((), "a", "expected one of none"),
    ],
)
def test_what_names_nothing_or_two_is_a_wrong_policy(known, asked, said):
    with pytest.raises(PolicyError, match=said):
        find("the class", [asked], known)


def test_upper_and_lower_case_are_two_names():
    assert find("the class", ["a", "A"], ("A", "a")) == [1, 0]


def test_classes_that_are_all_numbers_stand_in_the_order_of_their_numbers():
    assert ordered(["10", "9", "-1", "9"]) == ["-1", "9", "10"]
    assert ordered(["10", "9", "x"]) == ["10", "9", "x"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"favorable": "perhaps"}, "the favorable class 'perhaps'"),
        ({"favorable": "[good, bad]"}, "some and not all of"),
        ({"favorable": "[]"}, "some and not all of"),
        ({"favorable": ""}, "got no favorable class"),
        ({"protected": "age"}, "the protected attribute 'age', expected one of 'sex'"),
        ({"privileged": "x"}, "the privileged value of sex 'x', expected one of 'm', 'f'"),
        ({"privileged": "m, f"}, "every value of sex as privileged"),
    ],
)
def test_a_policy_that_compares_nobody_is_wrong_before_anything_is_asked(tmp_path, changes, said):
    known = Known(classes=("bad", "good"), groups={"sex": ("m", "f")})
    with pytest.raises(PolicyError, match=said.replace("[", r"\[")):
        fair(tmp_path, **changes).check_names(known)


def test_a_detection_has_no_favorable_class(tmp_path):
    known = Known(classes=("car",), task="detection", groups={"sex": ("m", "f")})
    with pytest.raises(PolicyError, match="a detection is favorable when found"):
        fair(tmp_path, favorable="car").check_names(known)


def test_groups_and_classes_that_only_look_missing_are_there(csv):
    names = ["None", "NA", "null", "nan", "n/a", "N/A", "NULL", "-1", "01", "1"]
    rows = "\n".join(f"{name},{name},{name}" for name in names)
    _, samples = predictions.read(csv(f"label,prediction,protected_faith\n{rows}\n"))
    assert samples.groups["faith"].tolist() == names
    assert set(samples.classes) == set(names)


def test_only_an_empty_field_is_missing(csv):
    with pytest.raises(ValueError, match=r"data\.csv:3: the value of 'protected_g' is missing"):
        predictions.read(csv("label,prediction,protected_g\na,a,x\na,a,\n"))


def test_a_feature_that_is_no_number_is_named_with_its_row(csv):
    with pytest.raises(ValueError, match=r"no numbers \['x'\] \('x' is 'NA' in row 3\)"):
        dataset.read(csv("x,label\n1,a\nNA,b\n"))
    with pytest.raises(ValueError, match=r"'x' is 'inf' in row 2"):
        dataset.read(csv("x,label\ninf,a\n1,b\n"))


def test_a_class_written_as_another_number_is_that_class_where_only_one_is(csv):
    _, samples = predictions.read(csv("label,prediction\n1,1.0\n2,2.0\n"))
    assert list(samples.classes) == ["1", "2"]
    with pytest.raises(ValueError, match=r"'1\.0', which could be '01' or '1'"):
        predictions.read(csv("label,prediction\n01,1.0\n1,1\n"))


@pytest.mark.parametrize("header", ["label,prediction,g,g", "label,label,prediction,g"])
def test_two_columns_of_one_name_are_refused(csv, header):
    with pytest.raises(ValueError, match="got several columns named"):
        predictions.read(csv(f"{header}\na,a,x,y\na,a,y,x\n"))


def test_two_columns_that_could_be_one_attribute_are_refused_with_both_named(csv):
    with pytest.raises(ValueError, match="'sex' and 'protected_sex', which could both be"):
        predictions.read(csv("label,prediction,sex,protected_sex\na,a,1,m\na,a,0,m\n"))


def test_a_feature_in_codes_stands_beside_its_attribute(csv):
    data = dataset.read(csv("sex,label,protected_sex\n1,a,m\n0,b,f\n1,b,m\n"))
    assert data.samples.groups["sex"].tolist() == ["m", "f", "m"]


def test_a_row_longer_than_the_header_is_refused(csv):
    with pytest.raises(ValueError, match="expected a CSV file with a header"):
        predictions.read(csv("label,prediction\na,a,b\na,a,b\n"))


def test_a_scikit_learn_models_classes_are_never_taken_both_as_names_and_as_places(tmp_path):
    assert _order(tmp_path, ["1", "2"], ["2", "1"]) == [1, 0]
    assert _order(tmp_path, ["0", "1"], ["bad", "good"]) == [0, 1]
    assert _order(tmp_path, ["1.0", "2.0"], ["1", "2"]) == [0, 1]
    with pytest.raises(ValueError, match=r"got the classes \['0', '1'\]"):
        _order(tmp_path, ["0", "1"], ["1", "2"])


@pytest.mark.parametrize(
    "changes",
    [{"classes": ["a", "a"]}, {"classes": [True, False]}, {"protected": {"g": ["x", "x"]}},
     {"protected": {"g": [None, "x"]}}, {"inputs": {"features": ["a", "a"]}}],
)  # fmt: skip
def test_a_dataset_whose_names_are_none_or_two_is_refused(tmp_path, changes):
    described = {
        "task": "classification", "classes": [1, 2], "inputs": {}, "protected": {}, "seed": 0,
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(described | changes))
    with pytest.raises(ValueError, match="expected"):
        Description.read(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert Description.read(tmp_path).classes == ("1", "2")


@pytest.mark.parametrize("name", ["evaluation", "evaluation: b"])
def test_no_name_makes_a_check_seem_to_rest_on_the_evaluation_data(tmp_path, name):
    groups = {"sex": ("m", "f"), name: ("x", "y")}
    with pytest.raises(PolicyError, match="seem to rest on the evaluation data"):
        fair(tmp_path, favorable="a").check_names(
            Known(classes=("a", "b", name), groups={"sex": ("m", "f")})
        )
    with pytest.raises(PolicyError, match="seem to rest on the evaluation data"):
        fair(tmp_path, protected=f"'{name}'", privileged="x").check_names(
            Known(classes=("bad", "good"), groups=groups)
        )
