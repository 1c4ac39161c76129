"""The exit codes are a public contract: scripts and pipelines branch on them."""

import pytest

from touchstone import errors

CODES = {
    errors.TouchstoneError: 1,
    errors.UsageError: 2,
    errors.PlatformError: 3,
    errors.ManifestError: 4,
    errors.ModelRefusedError: 5,
    errors.DeadlineError: 6,
}


@pytest.mark.parametrize(("error", "code"), CODES.items(), ids=lambda value: str(value))
def test_exit_code_of_each_error_never_changes(error, code):
    assert error("problem").exit_code == code


def test_every_error_of_the_tree_has_its_code_locked_here():
    tree = {errors.TouchstoneError, *errors.TouchstoneError.__subclasses__()}
    assert tree == set(CODES)


def test_manifest_error_leads_with_the_place():
    error = errors.ManifestError("got x, expected y", location="a.yaml:3:5", hint="write y")
    assert str(error) == "a.yaml:3:5: got x, expected y"
    assert error.hint == "write y"
