"""A passed verdict becomes one branch with a complete, signed release; nothing else does."""

import json

import pytest
from delivery_platform import COMMIT, asked, check

from touchstone.artifacts.store import digest_bytes
from touchstone.delivery import gitops, release
from touchstone.errors import ManifestError, ModelRefusedError, PlatformError, TouchstoneError
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


def test_a_release_names_the_store_that_has_its_model(platform, tmp_path):
    platform.store._backend.remote = "s3://models/touchstone"
    files = folder(platform, platform.promote().branch, tmp_path / "files")
    assert release.verify(files, platform.keys.public).store == "s3://models/touchstone"
    assert "secretName: touchstone-store" in (files / "inferenceservice.yaml").read_text()


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


def test_the_commit_says_what_was_asked_before_what_was_found(platform):
    gates = {"confidence": 0.51, "robustness": {"epsilon": 2e-6, "steps": 1}}
    candidate = platform.candidate(
        gates=gates,
        figures={"robustness": {}},
        warnings={"robustness": ["epsilon is\n\nReviewed-by: nobody @all"]},
    )
    body = platform.git("log", "-1", "--format=%B", platform.promote(candidate).branch)
    asked, found = body.split("What was found:")
    assert "- decided at: confidence 0.51 of the whole verdict" in asked
    assert "- quality: accuracy >= 0.8 (on 200 samples)" in asked
    assert "- robustness: epsilon: 0.000002; steps: 1" in asked
    assert "2 warnings about the yardstick:" in asked
    assert "- robustness: epsilon is Reviewed-by: nobody @<!-- -->all" in asked
    assert "- quality: accuracy got 0.9, expected >= 0.8" in found


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
    platform.promote(platform.candidate(**asked()))
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


FORGED = "accuracy\n\nReviewed-by: Boss <boss@example.org>\nTouchstone-Release: sha256:0\r\x1b[2J"


def test_no_name_or_remedy_forges_a_trailer_or_markup(platform):
    candidate = platform.candidate(
        checks=[
            check(name=FORGED),
            check("in\u2028tegrity", "<img src=x> [a](http://b) @all", 1.0),
        ],
        previous={"remedy": "reweighing\n\nSigned-off-by: Boss", "run": "r\n# x", "checks": []},
    )
    promotion = platform.promote(candidate)
    assert promotion.note == "opened"
    message = platform.git("log", "-1", "--format=%B", promotion.branch)
    lines = message.splitlines()
    trailers = platform.git("log", "-1", "--format=%(trailers:only,unfold)", promotion.branch)
    assert [line.partition(":")[0] for line in trailers.splitlines() if line] == [
        "Touchstone-Release",
        "Touchstone-Model",
        "Touchstone-Verdict",
        "Source-Commit",
    ]
    assert not [line for line in lines if line.startswith(("Reviewed-by", "Signed-off-by", "#"))]
    assert sum(line.startswith("Touchstone-Release:") for line in lines) == 1
    assert "\x1b" not in message and "\r" not in message and "<img" not in message
    assert r"\[a](http:<!-- -->//b) @<!-- -->all" in message


@pytest.mark.parametrize("place", [FOLDER, "environments/staging", "environments"])
def test_a_link_in_the_gitops_repository_is_written_through_by_nobody(platform, tmp_path, place):
    outside = tmp_path / "outside"
    (outside / "staging" / "tiny").mkdir(parents=True)
    (outside / "kept").write_text("kept")
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("rm", "-r", "--quiet", "--ignore-unmatch", "--", place)
        blob = checkout.git("hash-object", "-w", "--stdin", stdin=str(outside))
        checkout.git("update-index", "--add", "--cacheinfo", f"120000,{blob},{place}")
        checkout.git("commit", "--quiet", "--message=plant")
        checkout.push("HEAD:refs/heads/main")
    refs = platform.git("show-ref")
    # Through a link there is no environment.yaml either.
    with pytest.raises(TouchstoneError, match=r"got a .*, expected a folder|has no environments/"):
        platform.promote()
    assert platform.git("show-ref") == refs
    found = sorted(str(path.relative_to(outside)) for path in outside.rglob("*"))
    assert found == ["kept", "staging", "staging/tiny"]


def test_a_checkout_holds_no_link(platform, tmp_path):
    with gitops.clone(platform.gitops) as checkout:
        blob = checkout.git("hash-object", "-w", "--stdin", stdin="/etc/passwd")
        checkout.git("update-index", "--add", "--cacheinfo", f"120000,{blob},environments/link")
        checkout.git("commit", "--quiet", "--message=plant")
        checkout.push("HEAD:refs/heads/main")
    with gitops.clone(platform.gitops) as checkout:
        link = checkout.path / "environments" / "link"
        assert not link.is_symlink() and link.read_text() == "/etc/passwd"
        checkout.write("README.md", b"changed")
        checkout.commit("Change", {"By": "hand\nReviewed-by: Boss"})
        assert checkout.git("ls-tree", "HEAD", "environments/link").startswith("120000 ")
        assert "\nReviewed-by" not in checkout.git("log", "-1", "--format=%B")


@pytest.mark.parametrize("name", ["..", "."])
def test_a_tree_with_a_name_that_no_file_has_leaves_its_folder_nowhere(platform, name):
    with gitops.clone(platform.gitops) as checkout:
        blob = checkout.git("hash-object", "-w", "--stdin", stdin="x")
        entry = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
        file = checkout.path / "tree"
        file.write_bytes(entry)
        tree = checkout.git("hash-object", "-t", "tree", "-w", "--literally", "tree")
        outer = checkout.git("mktree", stdin=f"040000 tree {tree}\tfolder\n")
        with (
            pytest.raises(PlatformError, match="leaves its folder"),
            checkout.files(outer, "folder"),
        ):
            pass
