"""What a model repository may say of packages: names by version and hash, and where they stand."""

import pytest

from touchstone.contract import checked, requirements, seen
from touchstone.contract.requirements import installed, lacking
from touchstone.errors import ManifestError

HASH = f"--hash=sha256:{'a' * 64}"


def asked(folder, text):
    (folder / "requirements.txt").write_text(text)
    return requirements.read(folder)


def test_a_lock_as_tools_write_it_is_read_with_its_lines(tmp_path):
    found = asked(
        tmp_path,
        "# This file was written by a tool\n"
        "Frob.Nicate==1.2.0 \\\n"
        f"    {HASH} \\\n"
        f"    --hash=sha256:{'b' * 64}\n"
        "    # via -r requirements.in\n"
        f"other[fast]==2 ; python_version > '3' {HASH}\n"
        f"never==1 ; python_version < '3' {HASH}\n",
    )
    assert not found.problems
    assert [(one.name, one.version, one.line) for one in found.pins] == [
        ("frob-nicate", "1.2.0", 2),
        ("other", "2", 6),
    ]
    assert found.pins[0].hashes == (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}")
    assert found.pins[1].extras == ("fast",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--index-url https://evil.example", "where packages come from"),
        ("--extra-index-url=https://evil.example", "where packages come from"),
        ("--find-links .", "where packages come from"),
        ("--trusted-host evil.example", "where packages come from"),
        ("-r other.txt", "a file of its own"),
        ("-c other.txt", "a file of its own"),
        ("-e .", "whatever lies in a folder"),
        (f"frob==1 {HASH} --index-url https://evil.example", "the option --index-url"),
        (f"frob==1 {HASH} --config-settings=a=b", "the option --config-settings"),
        (f"frob==1 {HASH} -e .", "the option -e ."),
        ("frob==1 --hash=md5:abc", "the option --hash=md5"),
        (f"frob @ https://evil.example/frob.whl {HASH}", "at an address"),
        (f"https://evil.example/frob.whl {HASH}", "no path and no address"),
        (f"./frob.whl {HASH}", "no path and no address"),
        (f"frob==${{SECRET}} {HASH}", "no path and no address"),
        ("frob==1", "without a hash"),
        (f"frob>=1 {HASH}", "got frob>=1, expected frob==VERSION"),
        (f"frob==1.* {HASH}", "got frob==1.*, expected"),
        (f"frob===1 {HASH}", "got frob===1, expected"),
        (f"frob==1,!=2 {HASH}", "expected frob==VERSION"),
        (f"frob {HASH}", "expected frob==VERSION"),
    ],
)
def test_a_line_that_is_more_or_less_than_a_pinned_package_is_told_with_its_number(
    tmp_path, line, said
):
    found = asked(tmp_path, f"# first\n{line}\n")
    ((number, words),) = found.problems
    assert number == 2
    assert said in words
    assert not found.pins


def test_a_package_of_the_toolkit_needs_no_line_and_may_have_no_other_version(tmp_path):
    version = installed()["numpy"]
    found = asked(tmp_path, f"NumPy=={version} {HASH}\nfrob==1 {HASH}\n")
    assert not found.problems
    assert [one.name for one in found.missing] == ["frob"]
    found = asked(tmp_path, f"frob==1 {HASH}\ntorch==1.0 {HASH}\n")
    ((line, words),) = found.problems
    assert line == 2
    assert f"got torch==1.0, but Touchstone has torch {installed()['torch']}" in words


def test_a_package_that_is_listed_twice_is_refused(tmp_path):
    ((line, words),) = asked(tmp_path, f"frob==1 {HASH}\nFROB==2 {HASH}\n").problems
    assert (line, words) == (2, "got frob again, expected it once: line 1")


def test_no_file_asks_for_nothing_and_what_is_no_file_is_refused(tmp_path):
    assert requirements.read(tmp_path) == requirements.Asked()
    requirements.require_plain(tmp_path)
    (tmp_path / "other.txt").write_text(f"frob==1 {HASH}\n")
    (tmp_path / "requirements.txt").symlink_to("other.txt")
    assert requirements.read(tmp_path).problems == (
        (1, "got a symbolic link, expected a regular file"),
    )
    with pytest.raises(ManifestError, match=r"requirements.txt: got a symbolic link"):
        requirements.require_plain(tmp_path)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"#" * ((1 << 20) + 1)])
def test_a_file_that_nobody_could_read_is_told(tmp_path, data):
    (tmp_path / "requirements.txt").write_bytes(data)
    assert len(requirements.read(tmp_path).problems) == 1


def test_what_a_package_needs_is_held_against_the_list_and_the_toolkit():
    needs = ["frob>=2", "numpy", "torch>99", "x; python_version<'3'", "y; extra=='fast'", "z>=1"]
    said = requirements.lacking(needs, {"frob": "1.0", "z": "1.5"}, ["fast"])
    assert said == [
        "frob>=2 (got frob 1.0)",
        f"torch>99 (got torch {installed()['torch']})",
        "y (got no y)",
    ]


def test_a_module_that_a_run_will_have_is_a_note_and_one_that_nobody_lists_a_problem(
    tmp_path, monkeypatch
):
    (tmp_path / "touchstone.yaml").write_text(
        "apiVersion: touchstone.dev/v1\nkind: ModelPipeline\nmetadata: {name: packed}\n"
        "spec:\n  entrypoint: model.py:Packed\n  data: {uri: generate}\n"
        "  gates: {quality: {checks: [{metric: accuracy, atLeast: 0.5}]}}\n"
    )
    absent = "model.py:1: ModuleNotFoundError: No module named 'frob'\n  expected frob.py"
    other = "model.py:9: ValueError: no"
    problems = [(absent, seen.ENTRYPOINT), (other, seen.ENTRYPOINT)]
    monkeypatch.setattr(seen, "look", lambda *_, **__: seen.Seen(problems=problems))
    assert [one.location for one in checked.check(tmp_path).problems] == [
        "model.py:1",
        "model.py:9",
    ]
    (tmp_path / "requirements.txt").write_text(f"frob==1 {HASH}\n")
    found = checked.check(tmp_path)
    assert [str(one) for one in found.problems] == ["model.py:9: ValueError: no"]
    (note,) = found.notes
    assert note.startswith(
        "model.py:1: ModuleNotFoundError: No module named 'frob' here; a run has"
    )
    (tmp_path / "requirements.txt").write_text(f"frob==1 {HASH}\nother\n")
    told = [str(one) for one in checked.check(tmp_path, refused=[("frob", "is evil")]).problems]
    assert told[0].startswith("requirements.txt:2: got other, expected other==VERSION")
    assert told[1:] == ["requirements.txt:1: is evil", "model.py:9: ValueError: no"]
    told = checked.check(tmp_path, packages=tmp_path, shown="there").problems
    assert told[0].location == "there/requirements.txt:2"
    assert any("ModuleNotFoundError" in str(one) for one in told)


def test_an_image_knows_what_models_are_run_with_whatever_else_it_has(tmp_path, monkeypatch):
    lock = tmp_path / "models.lock"
    lock.write_text("# Written.\ntorch==2.1+cpu \\\n    --hash=sha256:0\nScikit_Learn==1.2\n")
    monkeypatch.setattr(requirements, "_MODELS", lock)
    installed.cache_clear()
    try:
        assert installed() == {"torch": "2.1+cpu", "scikit-learn": "1.2"}
        assert lacking(["torch>=2", "numpy"], {}, ()) == ["numpy (got no numpy)"]
    finally:
        installed.cache_clear()
