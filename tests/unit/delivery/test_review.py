"""A review merges only what is verified, permitted and its own; a rejection leaves a record."""

import json

import pytest
from delivery_platform import COMMIT, check

from touchstone.delivery import review
from touchstone.errors import TouchstoneError, UsageError
from trust_gates.report import brief

FOLDER = "environments/staging/tiny"


def approve(platform, branch="tiny", reviewer=None):
    return platform.approve(branch, reviewer)


def reject(platform, reason):
    who = platform.reviewer()
    return review.reject(platform.gitops, "tiny", platform.keys.public, who, reason=reason)


def listed(platform):
    return review.open_reviews(platform.gitops, platform.keys.public)


def test_an_open_promotion_is_listed_and_shown(platform):
    branch = platform.promote().branch
    (found,) = listed(platform)
    assert (found.branch, found.environment, found.model) == (branch, "staging", "tiny")
    assert (found.approvals, found.required, found.obstacles) == (0, 1, ())
    detail = review.show(platform.gitops, "tiny", platform.keys.public)
    assert detail.report.startswith("# ✅ Trust report: passed")
    assert "release.json" in detail.diffstat
    assert "accuracy got 0.9" in detail.body


def test_approving_merges_as_the_reviewer_and_closes_the_branch(platform):
    branch = platform.promote().branch
    assert "merged" in approve(platform, branch)
    author = platform.git("log", "-1", "--first-parent", "--format=%an %ae %p%n%B", "main")
    assert author.startswith("Rita rita@example.org ")
    assert len(author.splitlines()[0].split()) == 4  # two parents: a real merge
    assert "Reviewed-by: rita" in author
    assert listed(platform) == []
    assert f"{FOLDER}/release.json" in platform.git("ls-tree", "-r", "--name-only", "main")


def test_promoting_a_merged_release_again_says_so_and_opens_nothing(platform):
    candidate = platform.candidate()
    first = platform.promote(candidate)
    approve(platform)
    refs = platform.git("show-ref")
    again = platform.promote(candidate)
    assert (again.note, again.release) == ("already merged", first.release)
    assert platform.git("show-ref") == refs


def test_a_rejection_closes_the_branch_and_leaves_who_and_why(platform):
    candidate = platform.candidate()
    platform.promote(candidate)
    reject(platform, "too slow at night")
    assert listed(platform) == []
    ((decision,),) = review.rejections(platform.gitops, platform.keys.public).values()
    assert decision.reviewer == "rita"
    assert decision.reason == "too slow at night"
    with pytest.raises(TouchstoneError, match="was rejected by a reviewer"):
        platform.promote(candidate)


def test_a_rejection_needs_a_reason(platform):
    platform.promote()
    with pytest.raises(UsageError, match="expected --reason"):
        reject(platform, " ")


@pytest.mark.parametrize(
    ("path", "data", "problem"),
    [
        ("trust-report.md", b"# all is well\n", "trust-report.md: got sha256"),
        ("inferenceservice.yaml", b"kind: Other\n", "inferenceservice.yaml: got sha256"),
        ("extra.yaml", b"kind: Secret\n", "got files"),
        ("attestation.intoto.jsonl", b"{}\n", "not a DSSE envelope"),
        ("release.json", b"{}\n", "release.json"),
    ],
)
def test_a_release_changed_after_signing_is_not_merged(platform, path, data, problem):
    branch = platform.promote().branch
    platform.change(branch, f"{FOLDER}/{path}", data)
    before = platform.git("rev-parse", "main")
    with pytest.raises(TouchstoneError, match=problem):
        approve(platform)
    assert platform.git("rev-parse", "main") == before


def test_a_consistent_forgery_without_the_key_is_not_merged(platform):
    branch = platform.promote().branch
    text = platform.git("show", f"{branch}:{FOLDER}/release.json")
    document = json.loads(text)
    document["digests"]["model"] = "sha256:" + "0" * 64
    platform.change(branch, f"{FOLDER}/release.json", json.dumps(document).encode())
    with pytest.raises(TouchstoneError, match="attestation of model: got"):
        approve(platform)


@pytest.mark.parametrize(
    "path",
    [
        "environments/staging/environment.yaml",
        "environments/production/tiny/release.json",
        "environments/staging/other/release.json",
        "environments/staging/tiny/deep/file",
    ],
)
def test_a_branch_may_change_only_its_own_folder(platform, path):
    branch = platform.promote().branch
    platform.change(branch, path, b"approvals: 1\n# mine\n")
    with pytest.raises(TouchstoneError, match="expected only files of one"):
        approve(platform)


def test_a_frozen_environment_takes_nothing_and_says_why(platform):
    platform.promote()
    platform.change(
        "main", "environments/staging/environment.yaml", b'freeze: "audit until Friday"\n'
    )
    with pytest.raises(TouchstoneError, match="staging is frozen: audit until Friday"):
        approve(platform)


def test_two_approvals_must_come_from_two_people(platform):
    platform.promote()
    platform.change("main", "environments/staging/environment.yaml", b"approvals: 2\n")
    platform.name(rita=platform.key("rita"), otto=platform.key("otto"))
    assert "1 of 2 approvals" in approve(platform)
    assert "1 of 2 approvals" in approve(platform)
    assert "merged" in approve(platform, reviewer=platform.reviewer("otto"))
    assert platform.git("log", "-1", "--format=%B", "main").count("Reviewed-by") == 2


def test_a_gate_that_the_environment_requires_must_have_passed(platform):
    platform.promote()
    policy = b"requiredGates: [quality, fairness]\n"
    platform.change("main", "environments/staging/environment.yaml", policy)
    with pytest.raises(TouchstoneError, match="requires the gates fairness"):
        approve(platform)


def test_a_broken_policy_stops_the_merge_and_names_its_place(platform):
    platform.promote()
    platform.change("main", "environments/staging/environment.yaml", b"approvals: none\n")
    with pytest.raises(TouchstoneError, match=r"environment.yaml:1:1: approvals"):
        approve(platform)


def test_a_conflict_is_refused_and_promoting_again_settles_it(platform):
    old, new = platform.candidate(), platform.candidate(commit="f" * 40, weights=b"newer")
    platform.promote(old)
    platform.promote(new)
    approve(platform, COMMIT[:12])
    with pytest.raises(TouchstoneError, match="conflicts with main"):
        approve(platform, "f" * 12)
    assert platform.promote(new).note == "updated"
    assert "merged" in approve(platform, "f" * 12)


def test_an_unknown_branch_is_refused_with_those_that_are_open(platform):
    platform.promote()
    with pytest.raises(UsageError, match="promote/tiny/1a2b3c4d5e6f"):
        approve(platform, "promote/other/1")


def promote_before(platform, **wanted):
    """A promotion of an earlier second: git knows no shorter time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        return platform.promote(**wanted)


def promote_twice(platform):
    """Two versions of one model, one after the other."""
    old = promote_before(platform)
    candidate = platform.candidate(commit="f" * 40, weights=b"newer")
    return old, platform.promote(candidate)


def test_a_models_name_means_its_newest_version_and_the_older_is_closed_with_a_link(platform):
    old, new = promote_twice(platform)
    assert [one.newer for one in listed(platform)] == [new.branch, ""]
    told = approve(platform, "tiny")
    assert told.startswith(f"merged {new.branch}")
    assert f"closed {old.branch}: {new.branch} is newer" in told
    assert listed(platform) == []
    closed = review.superseded(platform.gitops, platform.keys.public)
    ((name, (decision,)),) = closed.items()
    assert name == "tiny/1a2b3c4d5e6f"
    assert (decision.decision, decision.reviewer) == ("superseded", "rita")
    assert decision.reason == f"{new.branch} is newer and was merged"


def test_an_older_version_closes_no_newer_one(platform):
    old, new = promote_twice(platform)
    assert "closed" not in approve(platform, old.branch)
    assert [one.branch for one in listed(platform)] == [new.branch]


def test_another_models_version_stays_open(platform):
    other = promote_before(platform, model="other")
    platform.promote(platform.candidate(commit="f" * 40, weights=b"newer"))
    assert "closed" not in approve(platform, "tiny")
    assert [one.branch for one in listed(platform)] == [other.branch]


@pytest.mark.parametrize(
    "wanted", ["1a2b3c4", "tiny/1a2b3c4", "promote/tiny/1a2b3c4d5", COMMIT[:12]]
)
def test_a_version_is_accepted_by_seven_digits(platform, wanted):
    branch = platform.promote().branch
    platform.promote(platform.candidate(commit="f" * 40, weights=b"newer"))
    assert review.show(platform.gitops, wanted, platform.keys.public).review.branch == branch


@pytest.mark.parametrize("wanted", ["1a2b3c", "other/1a2b3c4", "1a2b3c4e"])
def test_fewer_digits_or_others_name_no_version(platform, wanted):
    platform.promote()
    with pytest.raises(UsageError, match="expected one open promotion"):
        approve(platform, wanted)


def test_where_nothing_waits_that_is_said(platform):
    with pytest.raises(UsageError, match="^got 'tiny', but no promotion waits for a review$"):
        approve(platform, "tiny")


def test_digits_that_two_versions_share_are_refused(platform):
    platform.promote()
    platform.promote(platform.candidate(commit="1a2b3c4" + "f" * 33, weights=b"newer"))
    with pytest.raises(UsageError, match="expected one open promotion"):
        approve(platform, "1a2b3c4")


def test_what_is_shown_names_what_it_replaces_and_who_may_decide(platform):
    approve(platform, platform.promote().branch)
    weaker = [check(low=0.7, measured=0.8), check("integrity", "digests", 1.0)]
    platform.promote(platform.candidate(commit="f" * 40, weights=b"newer", checks=weaker))
    detail = review.show(platform.gitops, "tiny", platform.keys.public)
    assert (detail.served_version, detail.review.version) == ("1a2b3c4d5e6f", "f" * 12)
    assert detail.may == ("rita",)
    told = brief.changes(detail.served, detail.verdict)
    assert told == [
        "  asked of quality: accuracy now >= 0.7, was >= 0.8",
        "  found by quality: accuracy 0.8, was 0.9",
    ]
