"""docs/fairness.md names what there is, with the defaults that there are."""

import re
from pathlib import Path

import pytest

import trust_gates
from touchstone.training.mitigation import METHODS
from trust_gates.fairness import metrics as glossary

TEXT = (Path(trust_gates.__file__).parents[1] / "docs" / "fairness.md").read_text()
NAMED = set(re.findall(r"`([a-z_]+)`", TEXT))


@pytest.mark.parametrize("metric", glossary.METRICS, ids=lambda metric: metric.name)
def test_every_figure_is_named(metric):
    assert metric.name in NAMED


@pytest.mark.parametrize("metric", glossary.METRICS, ids=lambda metric: metric.name)
def test_every_figure_says_what_it_means_and_its_fair_range_holds_the_ideal(metric):
    assert metric.meaning
    assert metric.fair is None or metric.fair[0] <= metric.ideal <= metric.fair[1]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_row_with_its_options_and_their_defaults(name):
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |")]
    for option, default in METHODS[name].options.items():
        shown = default if isinstance(default, str) else f"{default:g}"
        assert re.search(rf"`{option}` (\({shown}|{re.escape(shown)}\b|as above)", row), option
