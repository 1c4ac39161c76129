"""A run is found by its name, or by what is shown of it or its commit, and only where one is."""

import pytest

from touchstone.errors import UsageError
from touchstone.home import Home
from touchstone.runs.lookup import find
from touchstone.runs.store import State

COMMIT = "1a2b3c4d5e6f" + "0" * 28


@pytest.fixture
def home(tmp_path):
    state = State(tmp_path)
    for name, commit in (
        ("model-14d25c8b22", COMMIT),
        ("model-14d25fffff", "ffff" + COMMIT[4:]),
        ("other-aaaa", COMMIT),
    ):
        metadata = {"name": name, "labels": {"touchstone.dev/revision": commit[:7]}}
        params = [{"name": "revision", "value": commit}]
        state.add_run({"kind": "PipelineRun", "metadata": metadata, "spec": {"params": params}})
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("model-14d25c8b22", "model-14d25c8b22"),
        ("model-14d25c", "model-14d25c8b22"),
        ("model-…ffff", "model-14d25fffff"),
        ("…-aaaa", "other-aaaa"),
        ("1a2b3c4", "other-aaaa"),  # the newest of its two
        ("1a2b3c4d5e6f", "other-aaaa"),
        (COMMIT, "other-aaaa"),
        ("ffff3c4", "model-14d25fffff"),
    ],
)
def test_what_means_one_run_finds_it(home, given, name):
    assert find(home, given).run.name == name


@pytest.mark.parametrize("given", ["model-14d25", "model-…", "model-1"])
def test_what_means_several_is_refused_with_their_names(home, given):
    with pytest.raises(UsageError, match="model-14d25fffff, model-14d25c8b22"):
        find(home, given)


@pytest.mark.parametrize(
    "given", ["model", "1a2b3c", "1a2b3c5", "1a2b3c4e", "absent-run", "%", "…x"]
)
def test_what_means_none_is_none(home, given):
    with pytest.raises(UsageError, match="there is no run"):
        find(home, given)
