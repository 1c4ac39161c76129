"""Nothing is served that policy, reviewers' keys and history did not let in."""

import base64
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from delivery_platform import COMMIT, REPOSITORY, Shelf, check

from touchstone.delivery import attestation, decisions, gitops, review
from touchstone.delivery.decisions import Reviewer
from touchstone.delivery.sync import Sync
from touchstone.errors import TouchstoneError, UsageError

FOLDER = "environments/staging/tiny"
POLICY = "environments/staging/environment.yaml"
SECOND = "f" * 40


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def syncing(platform, shelf):
    return Sync(
        platform.gitops, store=platform.store, public_key=platform.keys.public, serving=shelf
    )


@contextmanager
def main(platform, *, reference="origin/main"):
    """A checkout of main by someone with push rights; what it commits is pushed at the end."""
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "-B", "work", reference)
        yield checkout
        checkout.push("HEAD:refs/heads/main")


def merge(checkout, commit):
    checkout.git("merge", "--quiet", "--no-ff", "--message=Merge it", commit)


def take(checkout, reference, folder=FOLDER, *, to=FOLDER):
    """Put the folder as it is at `reference` into the work tree, in another place too."""
    with checkout.files(reference, folder) as files:
        found = {file.name: file.read_bytes() for file in files.iterdir()}
    checkout.replace_folder(to, found)


def newer(platform):
    return platform.candidate(commit=SECOND, weights=b"newer")


def refused(syncing, why):
    """Sync once: nothing changes, and that is told."""
    events = [event for event in syncing.step() if str(event.outcome) == "refused"]
    assert [event for event in events if why in event.reason], [str(event) for event in events]


def test_a_merged_promotion_is_served_and_an_unchanged_main_is_not_cloned_again(
    platform, syncing, shelf, monkeypatch
):
    platform.promote()
    platform.approve()
    assert [str(event) for event in syncing.step()] == [f"staging/tiny {COMMIT[:12]} served"]
    monkeypatch.setattr(gitops, "clone", None)
    assert syncing.step() == []
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


def test_a_signed_release_that_is_pushed_to_main_is_not_served(platform, syncing, shelf):
    branch = platform.promote().branch
    with main(platform, reference=f"origin/{branch}"):
        pass
    refused(syncing, "no merge of a new promotion")
    assert shelf.versions == {}


def test_a_merge_by_git_without_approvals_is_not_served_and_can_be_put_right(
    platform, syncing, shelf
):
    branch = platform.promote().branch
    with main(platform) as checkout:
        merge(checkout, f"origin/{branch}")
    refused(syncing, "got 0 of 1 approvals")
    assert shelf.versions == {}
    put_back(platform, COMMIT[:12])
    syncing.step()
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


def put_back(platform, version, who=None):
    who = who or platform.reviewer()
    return review.rollback(platform.gitops, "tiny", version, platform.keys.public, who)


@pytest.mark.parametrize("to", ["environments/production/tiny", "environments/else/tiny"])
@pytest.mark.parametrize("merged", [True, False])
def test_a_copy_of_a_folder_into_another_environment_is_not_served(
    platform, syncing, shelf, to, merged
):
    platform.promote()
    platform.approve()
    with main(platform) as checkout:
        if merged:
            checkout.git("checkout", "--quiet", "-b", "side")
        take(checkout, "origin/main", to=to)
        checkout.commit("Copy it", {})
        if merged:
            checkout.git("checkout", "--quiet", "work")
            merge(checkout, "side")
    refused(syncing, "got 0 of 1 approvals" if merged else "no merge of a new promotion")
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


def test_a_release_is_served_only_in_the_environments_that_it_was_promoted_for(
    platform, syncing, shelf
):
    branch = platform.promote(replace(platform.candidate(), environments=("staging",))).branch
    to = "environments/production/tiny"
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "-B", "work", "origin/main")
        take(checkout, f"origin/{branch}", to=to)
        checkout.commit("Elsewhere", {})
        checkout.push(f"+HEAD:refs/heads/{branch}")
    with pytest.raises(TouchstoneError, match="was promoted for staging, not for production"):
        platform.approve()


def test_a_renamed_folder_is_not_served(platform, syncing, shelf):
    platform.promote()
    platform.approve()
    with main(platform) as checkout:
        checkout.git("mv", FOLDER, "environments/staging/other")
        checkout.commit("Rename it", {})
    refused(syncing, "no merge of a new promotion")
    assert shelf.versions == {}, "and the old name was ended by it"


def test_an_older_release_comes_back_only_by_a_rollback(platform, syncing, shelf):
    old = platform.promote().branch
    tip = platform.git("rev-parse", old)
    platform.approve()
    platform.promote(newer(platform))
    platform.approve()
    syncing.step()
    newest = {("staging", "tiny"): SECOND[:12]}
    assert shelf.versions == newest
    ways = {
        "revert": lambda checkout: checkout.git("revert", "--no-edit", "-m1", "HEAD"),
        "copy": lambda checkout: copied(checkout, "HEAD"),
        "merge of the old commit": lambda checkout: joined(checkout, tip),
        "merge of a new commit": lambda checkout: joined(checkout, copied(checkout, "HEAD")),
    }
    for way, act in ways.items():
        with main(platform, reference=platform.git("rev-parse", "main")) as checkout:
            act(checkout)
        assert [str(one.outcome) for one in syncing.step()] in (["refused"], []), way
        assert shelf.versions == newest, way
    assert "merged" in put_back(platform, COMMIT[:12])
    syncing.step()
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}
    assert "Reviewed-by: rita" in platform.git("log", "-1", "--format=%B", "main")


def copied(checkout, onto):
    """A commit on `onto` that puts the first release's folder back, approvals and all."""
    commits = checkout.git("log", "--first-parent", "--merges", "--format=%H", "--", FOLDER)
    take(checkout, commits.splitlines()[-1])
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--allow-empty", "--message=Put it back")
    return checkout.git("rev-parse", "HEAD")


def joined(checkout, other):
    """A merge of main with `other`, of the first release's tree, as plumbing can make it."""
    tree = checkout.git("rev-parse", f"{copied(checkout, 'HEAD')}^{{tree}}")
    parents = ("-p", "origin/main", "-p", other)
    made = checkout.git("commit-tree", tree, *parents, "-m", "Merge it")
    checkout.git("reset", "--quiet", "--hard", made)


def test_approving_an_old_release_is_refused_and_names_the_rollback(platform):
    platform.promote()
    platform.approve()
    platform.promote(newer(platform))
    platform.approve()
    platform.change("main", POLICY, b"approvals: 2\n")
    platform.name(rita=platform.key("rita"), otto=platform.key("otto"))
    told = put_back(platform, COMMIT[:12])
    assert told.endswith("-rollback-staging: 1 of 2 approvals")
    otto = platform.reviewer("otto")
    with pytest.raises(TouchstoneError, match="puts back 1a2b3c4d5e6f, which was merged before"):
        platform.approve("tiny", otto)
    assert "merged" in put_back(platform, COMMIT[:12], otto)


def test_a_branch_that_someone_put_in_a_rollbacks_place_is_not_agreed_to(platform, syncing, shelf):
    third = platform.candidate(commit="e" * 40, weights=b"third")
    for candidate in (platform.candidate(), newer(platform), third):
        platform.promote(candidate)
        platform.approve()
    with gitops.clone(platform.gitops) as checkout:
        commits = checkout.git("log", "--first-parent", "--merges", "--format=%H").splitlines()
        take(checkout, commits[-1])
        checkout.commit("Mine", {})
        checkout.push(f"HEAD:refs/heads/promote/tiny/{SECOND[:12]}-rollback-staging")
    assert "merged" in put_back(platform, SECOND[:12])
    syncing.step()
    assert shelf.versions == {("staging", "tiny"): SECOND[:12]}


def test_a_rollback_is_of_what_was_merged_and_meets_the_policy_of_now(platform):
    platform.promote()
    with pytest.raises(UsageError, match="expected one that has had tiny"):
        put_back(platform, COMMIT[:12])
    platform.approve()
    platform.promote(newer(platform))
    platform.approve()
    for absent in ("0" * 12, COMMIT[:6], COMMIT[:7] + "0"):
        with pytest.raises(UsageError, match="expected one that was merged into"):
            put_back(platform, absent)
    platform.change("main", POLICY, b"freeze: true\n")
    for version in (COMMIT[:12], COMMIT[:7], COMMIT):
        with pytest.raises(TouchstoneError, match="staging is frozen"):
            put_back(platform, version)


def forge(checkout, platform, branch, who, *, kind=decisions.APPROVED, environment="staging"):
    """Merge `branch` by plumbing, with an approval by `who` committed beside the release."""
    commit = checkout.git("rev-parse", branch)
    checkout.git("merge", "--quiet", "--no-ff", "--no-commit", commit)
    text = (checkout.path / FOLDER / "release.json").read_bytes()
    from touchstone.delivery import release

    about = release.subjects(release.parse(text, location="-"), text) | {"commit": commit}
    line = decisions.signed(kind, who, about, environment=environment, model="tiny")
    checkout.write(f"{FOLDER}/approvals.intoto.jsonl", line.encode())


@pytest.mark.parametrize(
    ("loosened", "text"),
    [
        ("people.yaml", 'keys: {{mallory: "{key}"}}'),
        (POLICY, "approvals: 1"),
        (POLICY, 'freeze: ""'),
        (POLICY, "requiredGates: []"),
    ],
)
def test_a_commit_that_loosens_the_policy_and_brings_a_release_gains_nothing(
    platform, syncing, shelf, loosened, text
):
    strict = b"approvals: 2\n" if "approvals" in text else b"freeze: audit\n"
    if "Gates" in text:
        strict = b"requiredGates: [fairness]\n"
    platform.change("main", POLICY, strict if loosened == POLICY else b"approvals: 1\n")
    branch = platform.promote().branch
    who = platform.reviewer("mallory" if loosened == "people.yaml" else "rita")
    with main(platform) as checkout:
        forge(checkout, platform, f"origin/{branch}", who)
        checkout.write(loosened, text.format(key=platform.key("mallory")).encode())
        checkout.commit("Merge it", {})
    assert [str(one.outcome) for one in syncing.step()] == ["refused"]
    assert shelf.versions == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": decisions.HELD}, "got 0 of 1"),
        ({"environment": "production"}, "got 0 of 1"),
        ({"kind": decisions.ROLLBACK}, "got 0 of 1"),
    ],
)
def test_an_approval_is_for_one_decision_and_one_environment(platform, syncing, shelf, change, why):
    branch = platform.promote().branch
    with main(platform) as checkout:
        forge(checkout, platform, f"origin/{branch}", platform.reviewer(), **change)
        checkout.commit("Merge it", {})
    refused(syncing, why)
    assert shelf.versions == {}


def test_what_the_forging_test_writes_is_served_where_it_is_right(platform, syncing, shelf):
    branch = platform.promote().branch
    with main(platform) as checkout:
        forge(checkout, platform, f"origin/{branch}", platform.reviewer())
        checkout.commit("Merge it", {})
    syncing.step()
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


def test_an_approval_of_one_commit_is_none_of_the_next(platform):
    platform.change("main", POLICY, b"approvals: 2\n")
    platform.name(rita=platform.key("rita"), otto=platform.key("otto"))
    platform.promote()
    assert "1 of 2" in platform.approve()
    platform.promote(platform.candidate(weights=b"retrained"))
    assert "1 of 2" in platform.approve(reviewer=platform.reviewer("otto"))


def test_two_names_of_one_key_are_one_approval_however_the_key_is_spelled(platform):
    key = platform.key("rita")
    raw = base64.b64decode(key.removeprefix("ed25519:"))
    # The last character but one holds two bits that mean nothing.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = key[:-2] + alphabet[alphabet.index(key[-2]) + 1] + "="
    assert base64.b64decode(other.removeprefix("ed25519:")) == raw
    platform.change("main", POLICY, b"approvals: 2\n")
    platform.name(rita=key, otto=other)
    platform.promote()
    for name in ("Rita <rita@example.org>", "Otto <otto@example.org>"):
        who = gitops.Identity(name, "x@example.org")
        told = platform.approve(reviewer=replace(platform.reviewer(), identity=who))
        assert "1 of 2 approvals" in told


def test_a_typed_name_is_no_approval_and_the_line_to_add_is_told(platform):
    platform.promote()
    mallory = replace(
        platform.reviewer("mallory"), identity=gitops.Identity("Rita", "rita@example.org")
    )
    with pytest.raises(TouchstoneError, match="does not name the key") as caught:
        platform.approve(reviewer=mallory)
    assert f'rita: "{platform.key("mallory")}"' in caught.value.hint
    platform.change("main", "people.yaml", b"")
    with pytest.raises(TouchstoneError) as caught:
        platform.approve()
    assert f'keys: {{rita: "{platform.key("rita")}"}}' in caught.value.hint


def test_the_line_that_is_told_makes_a_reviewer_in_the_file_that_up_wrote(platform):
    platform.promote()
    otto = replace(platform.reviewer("otto"), identity=gitops.Identity("Otto O", "o@example.org"))
    with pytest.raises(TouchstoneError, match="does not name the key") as caught:
        platform.approve(reviewer=otto)
    said = caught.value.hint.partition("below keys:, the line  ")[2]
    text = platform.git("show", "main:people.yaml")
    platform.change("main", "people.yaml", text.replace("keys:\n", f"keys:\n  {said}\n").encode())
    assert "merged" in platform.approve(reviewer=otto)


@pytest.mark.parametrize("which", ["promoter", "recorder"])
def test_a_key_of_the_platform_never_approves(platform, which):
    path = platform.keys.private if which == "promoter" else platform.recording_key
    recorder = attestation.key_text(platform.recording_key)
    text = f'keys: {{eve: "{attestation.key_text(path)}"}}\nrecorder: "{recorder}"\n'
    platform.change("main", "people.yaml", text.encode())
    branch = platform.promote().branch
    eve = Reviewer(identity=gitops.Identity("Eve", "eve@example.org"), key=path)
    with pytest.raises(TouchstoneError, match="expected one of a person"):
        platform.approve(reviewer=eve)
    with gitops.clone(platform.gitops) as checkout:
        forge(checkout, platform, f"origin/{branch}", eve)
        text = (checkout.path / FOLDER / "approvals.intoto.jsonl").read_text()
        arguments = ("notes", f"--ref={gitops.REVIEWS}", "append", "--file=-", f"origin/{branch}")
        checkout.git(*arguments, stdin=text)
        checkout.push(gitops.REVIEWS)
    (found,) = review.open_reviews(platform.gitops, platform.keys.public)
    assert found.approvals == 0 and len(found.skipped) == 1


def test_an_account_and_the_key_under_its_name_are_one_person(platform):
    recorder = attestation.key_text(platform.recording_key)
    text = (
        f'recorder: "{recorder}"\nreview: [github:rita, github:otto]\n'
        f'keys: {{"github:rita": "{platform.key("rita")}"}}\n'
    )
    platform.change("main", "people.yaml", text.encode())
    platform.change("main", POLICY, b"approvals: 2\n")
    platform.promote()

    def by_account(account, key=platform.recording_key):
        who = gitops.Identity(account, "x@example.org")
        return Reviewer(identity=who, key=key, account=account)

    assert "1 of 2" in platform.approve()
    assert "1 of 2" in platform.approve(reviewer=by_account("github:rita"))
    with pytest.raises(TouchstoneError, match="does not let github:mallory review"):
        platform.approve(reviewer=by_account("github:mallory"))
    with pytest.raises(TouchstoneError, match="records what accounts decide") as caught:
        platform.approve(reviewer=by_account("github:otto", platform.reviewer("otto").key))
    assert f'recorder: "{platform.key("otto")}"' in caught.value.hint
    assert "merged" in platform.approve(reviewer=by_account("github:otto"))


MALFORMED = [
    b"{",
    b'{"decision": "approved", "reviewer": "Boss <boss@example.org>", "reason": "", "at": "now"}',
    b"[" * 100_000,
    b"\xff\xfe\x00",
    b"x" * 3_000_000,
    b"a\n" * 300_000,
    b'{"payload": "", "payloadType": "application/vnd.in-toto+json", "signatures": []}',
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_note_blocks_nobody(platform, data):
    first = platform.promote().branch
    second = platform.promote(newer(platform)).branch
    with gitops.clone(platform.gitops) as checkout:
        file = checkout.path / "note"
        file.write_bytes(data)
        blob = checkout.git("hash-object", "-w", "note")
        arguments = ("notes", f"--ref={gitops.REVIEWS}", "add", "-C", blob, f"origin/{first}")
        checkout.git(*arguments)
        checkout.push(gitops.REVIEWS)
    found = {one.branch: one for one in review.open_reviews(platform.gitops, platform.keys.public)}
    assert [one.approvals for one in found.values()] == [0, 0]
    assert found[first].skipped and not found[second].skipped
    assert "counts for nothing" in found[first].skipped[0]
    assert "merged" in platform.approve(first)


def test_a_folder_that_is_no_release_blocks_no_other_promotion(platform):
    platform.promote()
    with gitops.clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "-B", "promote/evil/1", "origin/main")
        for name, data in {
            "release.json": b"[" * 200_000,
            "attestation.intoto.jsonl": b"{}",
        }.items():
            checkout.write(f"environments/staging/evil/{name}", data)
        checkout.commit("Evil", {})
        checkout.push("HEAD:refs/heads/promote/evil/1")
    found = {one.model: one for one in review.open_reviews(platform.gitops, platform.keys.public)}
    assert "it does not verify" in found["evil"].obstacles[0]
    assert found["tiny"].obstacles == ()
    review.reject(
        platform.gitops, "evil", platform.keys.public, platform.reviewer(), reason="no release"
    )


def test_a_hold_of_nobody_holds_nothing_and_nobody_ends_a_hold(platform):
    platform.promote()
    mallory = platform.reviewer("mallory")
    for decide in (review.hold, review.release):
        with pytest.raises(TouchstoneError, match="does not name the key"):
            decide(platform.gitops, "tiny", platform.keys.public, mallory)


EVIL = "https://git.example.org/mallory/tiny.git"


def test_a_name_belongs_to_the_repository_that_first_promoted_it(platform):
    platform.promote()
    platform.approve()
    refs = platform.git("show-ref")
    other = replace(newer(platform), repository=EVIL)
    with pytest.raises(TouchstoneError, match="belongs to https://git.example.org/me/tiny.git"):
        platform.promote(other)
    assert platform.git("show-ref") == refs
    same = replace(newer(platform), repository="ssh://git@GIT.example.org:2222/me/tiny/")
    assert platform.promote(same).note == "opened"
    people = platform.git("show", "main:people.yaml")
    allowed = people.replace("models: {}", f"models: {{tiny: [{EVIL}]}}")
    platform.change("main", "people.yaml", allowed.encode())
    assert platform.promote(other).note == "updated"
    assert "merged" in platform.approve()


def test_a_foreign_release_of_a_name_is_neither_merged_nor_served(
    platform, syncing, shelf, monkeypatch
):
    """The promoter checks before it signs; here it signed before the name was another's."""
    with monkeypatch.context() as patch:  # of one second: an older one would be closed unasked
        patch.setenv("GIT_COMMITTER_DATE", "2030-01-01T00:00:00Z")
        foreign = platform.promote(replace(newer(platform), repository=EVIL)).branch
        platform.promote()
    platform.approve(COMMIT[:12])
    with pytest.raises(TouchstoneError, match="the name tiny belongs to"):
        platform.approve(foreign)
    with main(platform) as checkout:
        checkout.git(
            "merge", "--quiet", "-s", "ours", "--no-commit", "--no-ff", f"origin/{foreign}"
        )
        take(checkout, f"origin/{foreign}")
        from touchstone.delivery import release

        text = (checkout.path / FOLDER / "release.json").read_bytes()
        commit = checkout.git("rev-parse", f"origin/{foreign}")
        about = release.subjects(release.parse(text, location="-"), text) | {"commit": commit}
        line = decisions.signed(
            decisions.APPROVED, platform.reviewer(), about, environment="staging", model="tiny"
        )
        checkout.write(f"{FOLDER}/approvals.intoto.jsonl", line.encode())
        checkout.commit("Merge it", {})
    refused(syncing, "the name tiny belongs to")
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


def test_a_name_that_is_not_taken_may_be_kept_for_a_repository(platform):
    text = f'models: {{tiny: ["{REPOSITORY}"]}}\n'
    platform.change("main", "people.yaml", text.encode())
    with pytest.raises(TouchstoneError, match=r"models: \{tiny: \["):
        platform.promote(replace(platform.candidate(), repository=EVIL))


def test_the_attestation_names_what_is_let_in_and_review_shows_it(platform):
    candidate = replace(
        platform.candidate(), repository="https://rita:secret@git.example.org/me/tiny.git"
    )
    branch = platform.promote(candidate).branch
    (found,) = review.open_reviews(platform.gitops, platform.keys.public)
    verdict = platform.store.get_json(candidate.digests.verdict)
    assert found.attested == {
        "repository": REPOSITORY,
        "model": f"tiny {COMMIT[:12]}",
        "environments": "staging, production",
        "verdict": candidate.digests.verdict,
        "policy": verdict["policy"],
    }
    assert "secret" not in platform.git("show", branch)


def test_an_attestation_that_names_another_repository_is_refused(platform):
    branch = platform.promote().branch
    text = platform.git("show", f"{branch}:{FOLDER}/attestation.intoto.jsonl")
    documents = [
        json.loads(base64.b64decode(json.loads(line)["payload"])) for line in text.splitlines()
    ]
    for document in documents:
        if "buildDefinition" in document["predicate"]:
            document["predicate"]["buildDefinition"]["externalParameters"]["repository"] = EVIL
    signed = attestation.sign(documents, platform.keys.private)
    platform.change(branch, f"{FOLDER}/attestation.intoto.jsonl", signed.encode())
    with pytest.raises(TouchstoneError, match="as release.json says"):
        platform.approve()


def test_a_required_gate_counts_only_where_all_of_its_checks_passed(platform):
    checks = [check(), check("integrity", "digests", 1.0)]
    platform.promote(platform.candidate(checks=checks))
    platform.change("main", POLICY, b"requiredGates: [quality, robustness]\n")
    with pytest.raises(TouchstoneError, match="requires the gates robustness"):
        platform.approve()


def test_a_main_that_was_rewritten_changes_nothing(platform, syncing, shelf):
    platform.promote()
    platform.approve()
    platform.promote(newer(platform))
    first = platform.git("rev-parse", "main")
    platform.approve()
    syncing.step()
    last = platform.git("rev-parse", "main")
    platform.git("update-ref", "refs/heads/main", first)
    (event,) = syncing.step()
    assert "main was rewritten" in event.reason
    assert syncing.step() == []
    assert shelf.versions == {("staging", "tiny"): SECOND[:12]}
    platform.git("update-ref", "refs/heads/main", last)
    assert syncing.step() == []


def test_a_main_that_became_the_second_parent_brings_no_old_release_back(platform, syncing, shelf):
    """On another line of first parents the newer one was never merged, so the old one is new."""
    root = platform.git("rev-parse", "main")
    branch = platform.promote().branch
    reviewed = platform.git("rev-parse", branch)
    platform.approve()
    merged = platform.git("rev-parse", "main^{tree}")
    platform.promote(newer(platform))
    platform.approve()
    syncing.step()
    with main(platform, reference=root) as checkout:
        checkout.git("commit", "--quiet", "--allow-empty", "--message=Another line")
        for parents in (("HEAD", reviewed), ("HEAD", "origin/main")):
            given = [word for parent in parents for word in ("-p", parent)]
            made = checkout.git("commit-tree", merged, *given, "-m", "Merge it")
            checkout.git("reset", "--quiet", "--hard", made)
    (event,) = syncing.step()
    assert "no longer on its line of first parents" in event.reason
    assert shelf.versions == {("staging", "tiny"): SECOND[:12]}


def test_a_rejected_commit_that_is_pushed_again_is_not_merged(platform):
    """The approvals that it had before are of that commit still."""
    platform.change("main", POLICY, b"approvals: 2\n")
    platform.name(rita=platform.key("rita"), otto=platform.key("otto"))
    branch = platform.promote().branch
    commit = platform.git("rev-parse", branch)
    assert "1 of 2" in platform.approve()
    url, public, rita = platform.gitops, platform.keys.public, platform.reviewer()
    review.reject(url, branch, public, rita, reason="misses nights")
    platform.git("update-ref", f"refs/heads/{branch}", commit)
    with pytest.raises(TouchstoneError, match=r"cannot be merged: rita rejected it: misses nights"):
        platform.approve(reviewer=platform.reviewer("otto"))


def test_a_login_in_other_case_is_the_same_person(platform):
    recorder = attestation.key_text(platform.recording_key)
    text = (
        f'review: ["github:Rita"]\nkeys: {{"GitHub:rita": "{platform.key("rita")}"}}\n'
        f'recorder: "{recorder}"\n'
    )
    platform.change("main", POLICY, b"approvals: 2\n")
    platform.change("main", "people.yaml", text.encode())
    platform.promote()
    who = gitops.Identity("Rita", "rita@github.invalid")
    by_comment = Reviewer(identity=who, key=platform.recording_key, account="github:rITA")
    for reviewer in (platform.reviewer(), by_comment):
        assert "1 of 2" in platform.approve(reviewer=reviewer)


def test_what_main_tells_git_to_ignore_is_promoted_and_merged_all_the_same(
    platform, syncing, shelf
):
    platform.change("main", ".gitignore", b"*.jsonl\n*.png\n")
    platform.promote()
    platform.approve()
    syncing.step()
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


@pytest.mark.parametrize("kind", ["blob", "tree", "tag"])
def test_notes_that_are_none_keep_nobody_from_approving(platform, kind):
    platform.promote()
    with gitops.clone(platform.gitops) as checkout:
        blob = checkout.git("hash-object", "-w", "--stdin", stdin="x")
        tree = checkout.git("mktree", stdin=f"100644 blob {blob}\tx\n")
        checkout.git("tag", "--annotate", "--message=x", "odd", blob)
        pushed = {"blob": blob, "tree": tree, "tag": "refs/tags/odd"}[kind]
        checkout.push(f"+{pushed}:{gitops.REVIEWS}")
    assert "merged" in platform.approve()


def test_many_commits_of_noise_do_not_end_what_is_served(platform, syncing, shelf):
    platform.promote()
    platform.approve()
    with main(platform) as checkout:
        for number in range(25):
            checkout.write(f"{FOLDER}/noise", str(number).encode())
            checkout.commit("Noise", {})
    refused(syncing, f"{COMMIT[:12]} goes on serving")
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}


def test_a_broken_policy_of_one_environment_leaves_the_others_served(platform, syncing, shelf):
    platform.promote()
    platform.approve()
    platform.change("main", "environments/production/environment.yaml", b"[")
    platform.change("main", "people.yaml", b"[")
    syncing.step()
    assert shelf.versions == {("staging", "tiny"): COMMIT[:12]}
    with pytest.raises(TouchstoneError, match="people.yaml"):
        platform.promote(newer(platform))


def test_the_decision_that_is_stored_names_no_address(platform):
    platform.promote()
    platform.approve()
    text = platform.git("show", f"main:{FOLDER}/approvals.intoto.jsonl")
    (line,) = text.splitlines()
    document = json.loads(base64.b64decode(json.loads(line)["payload"]))
    assert document["predicateType"] == decisions.PREDICATE
    assert [one["name"] for one in document["subject"]] == ["commit", "model", "release.json"]
    assert document["predicate"]["decision"] == "approved"
    assert "example.org" not in json.dumps(document)
    assert Path(platform.reviewer().key).stat().st_mode & 0o777 == 0o600
