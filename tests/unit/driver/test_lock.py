"""A requirements.txt that holds: what the toolkit lacks, and every wheel that it may be."""

import json

import pytest
from typer.testing import CliRunner
from wheels import wheel

from touchstone import cli
from touchstone.contract import requirements
from touchstone.contract.requirements import installed
from touchstone.driver.lock import lock
from touchstone.errors import ManifestError, UsageError


def test_a_package_is_written_with_what_it_needs_and_read_again_as_it_was_meant(tmp_path):
    source = tmp_path / "wheels"
    wheel(source, "frob", requires=["nicate>=1", "numpy"])
    wheel(source, "nicate")
    wheel(source, "nicate", tag="cp39-cp39-win_amd64")
    repository = tmp_path / "repository"
    repository.mkdir()
    words = ["packages", "lock", "frob", f"--folder={repository}", f"--index={source}", "--json"]
    done = CliRunner().invoke(cli._app(), words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"packages": {"frob": "1.0", "nicate": "1.0"}, "own": []}
    found = requirements.read(repository)
    assert not found.problems
    assert [(str(one), len(one.hashes)) for one in found.pins] == [
        ("frob==1.0", 1),
        ("nicate==1.0", 2),
    ]
    again = lock(repository, (), source=str(source))
    assert again.text == (repository / "requirements.txt").read_text()


def test_a_plain_list_without_anything_to_get_names_what_the_toolkit_has(tmp_path):
    (tmp_path / "requirements.txt").write_text("numpy>1\n# of use\n")
    found = lock(tmp_path, ["torch"], source=str(tmp_path))
    assert (list(found.own), dict(found.versions)) == (["numpy", "torch"], {})
    (tmp_path / "requirements.txt").write_text("frob\nnumpy<1\n")
    with pytest.raises(ManifestError, match=f"Touchstone has numpy {installed()['numpy']}"):
        lock(tmp_path, (), source=str(tmp_path))
    (tmp_path / "requirements.txt").write_text("frob\n-r other.txt\n")
    with pytest.raises(ManifestError, match=r"requirements.txt:2: got '-r other.txt'"):
        lock(tmp_path, (), source=str(tmp_path))
    with pytest.raises(UsageError, match="got '-r x'"):
        lock(tmp_path / "none", ["-r x"], source=str(tmp_path))
