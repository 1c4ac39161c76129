"""The yardstick itself: it reads the Go it must read, and a fact that does not hold is a miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.yardstick import conformance, examples, golang

_GO = """
func TestSum(t *testing.T) {
	var op0, op1 = 10, 1
	words := []string{"foo", "bar"}
	name := "sum"
	firstYAML := fmt.Sprintf(`
metadata: {name: %s}
values: [%s, %s, %s]
`, name, strconv.Itoa(op1), strconv.Itoa(op0), words[1])

	out, err := ProcessAndSendToTekton(firstYAML, TaskRunInputType, t, ExpectRunToFail)
}
"""


def test_the_yaml_of_a_go_test_is_read_with_its_variables() -> None:
    (sent,) = golang.sent(_GO)
    assert sent.yaml == "metadata: {name: sum}\nvalues: [1, 10, bar]\n"
    assert (sent.test, sent.kind, sent.fails) == ("TestSum", "TaskRun", True)


def test_an_example_that_would_change_the_machine_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "examples/v1/taskruns/authenticating-git-commands.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("{kind: TaskRun}")
    outcome = examples.measure(file, tmp_path, limit=0)
    assert outcome.miss.startswith("not run: as root it would change")
    assert outcome.seconds == 0


def test_only_known_cases_are_explained() -> None:
    assert set(conformance.EXPLAINED) <= set(conformance.FACTS)


def test_go_that_is_not_understood_is_said_so() -> None:
    with pytest.raises(ValueError, match=r"words\[7\]"):
        list(golang.sent(_GO.replace("words[1]", "words[7]")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a[*].b", [1, 2]),
        ("a[1].b", 2),
        ("a[name=y].b", 2),
        ("a[name=z].b", None),
        ("absent.b", None),
    ],
)
def test_a_path_finds_its_value(path: str, value: object) -> None:
    thing = {"a": [{"name": "x", "b": 1}, {"name": "y", "b": 2}]}
    assert conformance.look_up(thing, path) == value


@pytest.mark.parametrize(
    ("got", "wanted", "fits"),
    [
        ("registry/image", "…image", True),
        ("registry/imago", "…image", False),
        ("2026-11-24T03:06:00Z", "time", True),
        ("", "time", False),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ([1], [1, 2], False),
        (None, [], False),
    ],
)
def test_a_fact_holds_or_not(got: object, wanted: object, fits: bool) -> None:
    assert conformance.fits(got, wanted) is fits


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("kind: TaskRun\nspec: {image: mirror.gcr.io/bash@sha256:0}", "shell or Python"),
        ("kind: Secret\n---\nkind: TaskRun", "objects of its file"),
        ("kind: TaskRun\nspec: {taskRef: {resolver: hub}}", "an image or a cluster"),
        (
            "kind: TaskRun\nspec: {params: [{name: i, value: node:22}], image: $(params.i)}",
            "an image or a cluster",
        ),
    ],
)
def test_what_an_example_needs_is_told_from_its_text(tmp_path: Path, text: str, needs: str) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(text)
    assert examples.needs_of(file)[0] == needs
