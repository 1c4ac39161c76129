"""Each figure is within its tolerance of an independent reference, as docs/reference tells."""

import subprocess

import pytest

from tests.reference.figures import COMPARED
from touchstone.home import SHIPPED


@pytest.mark.parametrize("one", COMPARED, ids=lambda one: f"{one.gate}: {one.reference}")
def test_a_figure_is_that_of_its_reference(one):
    differences = one.differences()
    assert differences
    assert {name: far for name, far in differences.items() if not far <= one.tolerance} == {}


@pytest.mark.parametrize("name", sorted({one.test for one in COMPARED}))
def test_the_test_that_a_row_names_is_there(name):
    found = subprocess.run(
        ["grep", "-rlw", f"def {name}", SHIPPED / "tests"], capture_output=True, text=True
    )
    assert len(found.stdout.splitlines()) == 1
