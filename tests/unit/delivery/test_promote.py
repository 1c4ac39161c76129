"""A passed verdict becomes one branch with a complete, signed release; nothing else does."""

import json

import pytest
from delivery_platform import COMMIT, check

from touchstone.artifacts.store import digest_bytes
from touchstone.delivery import gitops, release
from touchstone.errors import ManifestError, ModelRefusedError, TouchstoneError
from touchstone.git import git

FOLDER = "environments/staging/tiny"


def folder(platform, branch, destination):
    with gitops.clone(platform.gitops) as checkout:
        for name in checkout.git("ls-tree", "--name-only", f"origin/{branch}:{FOLDER}").split():
            destination.mkdir(exist_ok=True)
            (destination / name).write_bytes(checkout.read(f"origin/{branch}", f"{FOLDER}/{name}"))
    return destination


def test_the_branch_holds_a_release_that_verifies(platform, tmp_path):
    promotion = platform.promote()
    assert promotion.branch == "promote/tiny/1a2b3c4d5e6f"
    files = folder(platform, promotion.branch, tmp_path / "files")
    assert {file.name for file in files.iterdir()} == {
        "attestation.intoto.jsonl",
        "bom.cdx.json",
        "inferenceservice.yaml",
        "release.json",
        "sweep.png",
        "trust-report.html",
        "trust-report.md",
        "verdict.json",
    }
    verified = release.verify(files, platform.keys.public)
    assert verified.files["verdict.json"] == verified.digests.verdict
    assert (verified.model, verified.commit) == ("tiny", COMMIT)
    assert promotion.release == digest_bytes((files / "release.json").read_bytes())
    assert platform.store.get_json(promotion.release)["version"] == "1a2b3c4d5e6f"


def test_main_is_untouched_until_a_review(platform):
    before = platform.git("rev-parse", "main")
    platform.promote()
    assert platform.git("rev-parse", "main") == before


def test_promoting_twice_changes_nothing_the_second_time(platform):
    first = platform.promote()
    refs = platform.git("show-ref")
    second = platform.promote()
    assert platform.git("show-ref") == refs
    assert (second.branch, second.release) == (first.branch, first.release)
    assert (first.note, second.note) == ("opened", "already open")


def test_another_result_of_the_same_commit_replaces_the_branch(platform):
    first = platform.promote()
    second = platform.promote(platform.candidate(weights=b"retrained"))
    assert (second.branch, second.note) == (first.branch, "updated")
    assert platform.git("rev-list", "--count", f"main..{second.branch}") == "1"


def test_the_commit_says_what_passed_and_carries_its_digests(platform):
    candidate = platform.candidate()
    body = platform.git("log", "-1", "--format=%an%n%B", platform.promote(candidate).branch)
    assert body.startswith("touchstone\nPromote tiny 1a2b3c4d5e6f to staging")
    assert "quality: accuracy got 0.9, expected >= 0.8" in body
    assert f"Touchstone-Model: {candidate.digests.model}" in body
    assert f"Source-Commit: {COMMIT}" in body


def test_a_refused_verdict_writes_nothing_and_says_which_check(platform):
    refs = platform.git("show-ref")
    unfair = check("fairness", "equal_opportunity_difference", -0.31, "failed", -0.1, 0.1)
    with pytest.raises(ModelRefusedError, match=r"got -0\.31, expected in \[-0\.1, 0\.1\]"):
        platform.promote(platform.candidate(checks=[check(), unfair], passed=False))
    assert platform.git("show-ref") == refs


@pytest.mark.parametrize("passed", ["true", 1, None])
def test_only_a_true_verdict_promotes(platform, passed):
    with pytest.raises(ModelRefusedError):
        platform.promote(platform.candidate(passed=passed))


def test_a_verdict_about_another_commit_is_refused(platform):
    with pytest.raises(TouchstoneError, match="verdict is about commit"):
        platform.promote(commit="f" * 40)


def test_an_absent_signing_key_leaves_no_branch(platform, tmp_path):
    platform.keys.private.unlink()
    with pytest.raises(ManifestError, match="got no private key"):
        platform.promote()
    assert "promote/" not in platform.git("show-ref")


def test_an_empty_repository_gets_its_environments(platform, tmp_path):
    bare = tmp_path / "empty.git"
    git("init", "--quiet", "--bare", str(bare), cwd=tmp_path)
    platform.gitops = str(bare)
    platform.promote()
    assert "environments/production/environment.yaml" in platform.git(
        "ls-tree", "-r", "--name-only", "main"
    )


def test_the_attestation_names_the_materials_and_the_tests(platform, tmp_path):
    from touchstone.delivery import attestation

    files = folder(platform, platform.promote().branch, tmp_path / "files")
    data = (files / "release.json").read_bytes()
    digests = json.loads(data)["digests"]
    provenance, tests = attestation.verify(
        (files / "attestation.intoto.jsonl").read_text(),
        platform.keys.public,
        subjects={"model": digests["model"], "release.json": digest_bytes(data)},
    )
    materials = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"uri": "git+model:tiny", "digest": {"gitCommit": COMMIT}} in materials
    for name in ("image", "image-context"):
        digest = digest_bytes(name.removeprefix("image-").encode()).removeprefix("sha256:")
        assert {"uri": f"touchstone:{name}", "digest": {"sha256": digest}} in materials
    assert tests["predicate"]["passedTests"] == ["quality: accuracy", "integrity: digests"]
