"""The table of names in docs/trust-gates.md leaves out nothing that exists."""

from tests.bench import gates_table
from trust_gates import glossary
from trust_gates.robustness.attacks import ATTACKS


def _table():
    text = gates_table.DOCUMENT.read_text(encoding="utf-8")
    return text.split(gates_table.BEGIN)[1].split(gates_table.END)[0]


def test_every_attack_and_every_figure_of_the_glossary_is_in_it():
    table = _table()
    absent = [name for name in (*ATTACKS, *glossary.METRICS) if f"`{name}`" not in table]
    assert absent == [], "run: make gates-table"


def test_a_registry_is_found_wherever_it_is_and_text_constants_are_none():
    assert gates_table._names({"a": object(), "b": object()}) == ["a", "b"]
    assert gates_table._names((glossary.METRICS["accuracy"],)) == ["accuracy"]
    assert gates_table._names({"a": "words"}) == []
    assert gates_table._names(("a", "b")) == []


def test_what_is_called_otherwise_is_matched_and_what_is_missing_marked():
    gates = {"fairness": {"theil_index": gates_table.Run(0.5, "0.1")}}
    found = gates_table.sections({"training.x:METHODS": ["lfr", "own"]}, gates)
    rows = {row.title: row for some in found.values() for row in some}
    assert rows["Learning Fair Representations"].names == ["lfr"]
    assert rows["theil index"].names == ["theil_index"]
    assert rows["own"].names == ["own"]
    assert "**missing**" in " ".join(rows["JSMA"].cells())


def test_tests_are_found_by_parameter_by_word_and_by_title():
    ids = [
        "tests/contract/test_gates_table.py::"
        "test_what_is_called_otherwise_is_matched_and_what_is_missing_marked",
        "tests/unit/trust_gates/test_gate_robustness.py::test_x[images-pgd-linf]",
        "tests/unit/trust_gates/test_gate_robustness.py::test_the_square_attack",
    ]
    found = gates_table.tests_by_name({"lfr", "pgd", "square", "absent"}, ids)
    assert {name: len(tests) for name, tests in found.items()} == {
        "lfr": 1, "pgd": 1, "square": 1, "absent": 0,
    }  # fmt: skip
