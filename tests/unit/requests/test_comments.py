"""Each command does what it says, for those whom people.yaml names, on runs and on promotions."""

from dataclasses import replace

import pytest

from touchstone.delivery import attestation, people
from touchstone.delivery.gitops import clone
from touchstone.errors import ManifestError, UsageError
from touchstone.requests.comments import CONTEXT, HOLD_CONTEXT, Comment, Installation, act

PEOPLE = "run: [github:ada]\nreview: [github:rita, gitlab:rita]\n"


@pytest.fixture
def installation(platform):
    recorder = attestation.key_text(platform.recording_key)
    keys = f'recorder: "{recorder}"\nkeys: {{rita: "{platform.key("rita")}"}}\n'
    platform.change("main", "people.yaml", (PEOPLE + keys).encode())
    return Installation(
        gitops_url=platform.gitops,
        image_registry="localhost/models",
        public_key=platform.keys.public,
        recording_key=platform.recording_key,
    )


@pytest.fixture
def comment(repository):
    repository.commit(model__py="1")
    repository.push("refs/pull/7/head")
    return Comment(
        text="/test",
        forge="github",
        author="ada",
        repository="me/model",
        repo_url=repository.url,
        pull_request="7",
        branch="pull/7",
        ref="refs/pull/7/head",
        revision="",
        event="e1",
    )


@pytest.fixture
def says(control, installation, comment):
    """What is answered to a comment of that text."""

    def answered(text, **changes):
        answer = act(replace(comment, text=text, **changes), control, installation)
        assert answer is not None
        asked, _, done = answer.status.description.partition(": ")
        assert asked.startswith("/")
        return done

    return answered


def test_test_starts_a_run_of_the_newest_commit_once_a_comment(says, control, repository):
    told = says("/test\r\n")
    (run,) = control.runs("me/model", "7")
    assert told == f"started {run.name}"
    assert run.revision == repository.tip()
    assert says("/test") == told
    assert says("/test", event="e2") != told


def test_retest_repeats_what_failed_and_nothing_else(says, control, end, repository):
    assert "nothing ran for" in says("/retest")
    says("/test")
    (run,) = control.runs("me/model", "7")
    assert says("/retest") == f"{run.name} has not ended: wait for it, or /cancel"
    end(run.name, failed=True)
    told = says("/retest")
    again, old = control.runs("me/model", "7")
    assert told.startswith(f"started {again.name}, ") and told.endswith(f" of {old.name}")
    assert (again.revision, again.done) == (old.revision, False)
    end(again.name, failed=False)
    assert says("/retest") == f"nothing failed in {again.name}: /test runs it anew"
    repository.commit(model__py="2")
    repository.push("refs/pull/7/head")
    assert "nothing ran for" in says("/retest")


def test_cancel_ends_what_runs_for_the_pull_request_alone(says, control, end):
    assert says("/cancel") == "nothing runs"
    says("/test")
    says("/test", event="e2")
    says("/test", event="e3", pull_request="8")
    ended, running = control.runs("me/model", "7")
    end(ended.name, failed=False)
    assert says("/cancel") == f"cancelled {running.name}"


def test_a_cancelled_run_is_asked_to_end_and_to_report(embedded, installation, comment, home):
    from touchstone.runs.store import State

    act(comment, embedded, installation)
    act(replace(comment, text="/cancel"), embedded, installation)
    (run,) = State(home.root).runs()
    assert run.manifest["spec"]["status"] == "CancelledRunFinally"


@pytest.mark.parametrize(
    ("text", "author", "forge"),
    [
        ("/test", "mallory", "github"),
        ("/test", "ada", "gitlab"),
        ("/cancel", "rita", "github"),
        ("/approve", "ada", "github"),
        ("/hold cancel", "ada", "github"),
        ("/approve", "rita", "forgejo"),
    ],
)
def test_who_is_not_named_gets_no_answer_and_nothing_is_done(
    embedded, installation, comment, text, author, forge
):
    asked = replace(comment, text=text, author=author, forge=forge)
    assert act(asked, embedded, installation) is None
    assert embedded.runs("me/model", "7") == []


def test_nobody_is_named_at_first(embedded, platform, comment):
    found = people.read(platform.gitops)
    assert (found.run, found.review) == ((), ())
    with clone(platform.gitops) as checkout:
        assert checkout.read("origin/main", "people.yaml")
    found = Installation(
        gitops_url=platform.gitops,
        image_registry="",
        public_key=platform.root,
        recording_key=platform.root,
    )
    assert act(comment, embedded, found) is None


def test_people_come_from_main_and_not_from_a_pull_request(
    embedded, platform, installation, comment
):
    with clone(platform.gitops) as checkout:
        checkout.git("checkout", "--quiet", "-B", "promote/me", "origin/main")
        (checkout.path / "people.yaml").write_text("run: [github:mallory]\n")
        checkout.commit("Let me in", {})
        checkout.push("HEAD:refs/heads/promote/me")
    assert act(replace(comment, author="mallory"), embedded, installation) is None


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("run: ada\n", "1:1", "expected a list"),
        ("run: [ada]\n", "1:7", "pattern"),
        ("run: []\nrunn: [github:ada]\n", "2:1", "unknown key runn"),
        ("- run\n", "", "mapping"),
        ("run: [\n", "2:1", "expected"),
    ],
)
def test_a_wrong_people_yaml_is_refused_with_its_place(platform, text, place, problem):
    platform.change("main", "people.yaml", text.encode())
    with pytest.raises(ManifestError, match=problem) as caught:
        people.read(platform.gitops)
    assert f"people.yaml:{place}" in str(caught.value)


def test_what_is_no_command_is_refused(embedded, installation, comment):
    with pytest.raises(UsageError, match="expected one of /test, /retest"):
        act(replace(comment, text="/deploy"), embedded, installation)


def test_the_answer_is_a_status_of_the_commit_that_was_looked_at(
    embedded, installation, comment, repository
):
    commit = repository.commit(model__py="3")
    repository.push("refs/pull/7/head")
    answer = act(comment, embedded, installation)
    assert (answer.commit, answer.status.context, answer.status.state) == (
        commit, CONTEXT, "success",
    )  # fmt: skip
    seen = act(replace(comment, revision="f" * 40), embedded, installation)
    assert seen.commit == "f" * 40  # where the event says it, nothing newer is run
    with pytest.raises(UsageError, match="expected ffffff as in the event"):
        act(replace(comment, revision="ffffff"), embedded, installation)


@pytest.fixture
def promotion(platform, installation, embedded, comment):
    """Says something on the pull request of an open promotion in the GitOps repository."""
    branch = platform.promote().branch
    platform.git("update-ref", "refs/pull/9/head", f"refs/heads/{branch}")
    about = replace(comment, repo_url=platform.gitops, ref="refs/pull/9/head", author="rita")

    def said(text, **changes):
        return act(replace(about, text=text, **changes), embedded, installation).status

    return said


def test_approve_is_that_persons_approval_and_merges_when_it_is_enough(promotion, platform):
    told = promotion("/approve")
    assert (told.state, told.context) == ("success", CONTEXT)
    assert told.description.startswith("/approve by rita: merged promote/")
    message = platform.git("log", "-1", "--first-parent", "--format=%B", "main")
    assert "Reviewed-by: github:rita" in message


def test_an_approval_counts_once_a_person(promotion, platform):
    policy = b"approvals: 2\n"
    platform.change("main", "environments/staging/environment.yaml", policy)
    for _ in range(2):
        assert promotion("/approve").description.endswith("1 of 2 approvals")
    assert "merged" in promotion("/approve", forge="gitlab").description


def test_hold_keeps_a_promotion_from_being_merged_until_unhold(promotion, platform):
    held = promotion("/hold")
    assert (held.state, held.context) == ("pending", HOLD_CONTEXT)
    refused = promotion("/approve")
    assert refused.state == "error"
    assert "github:rita holds it since" in refused.description
    with pytest.raises(Exception, match="holds it"):
        platform.approve()
    freed = promotion("/hold cancel", forge="gitlab")
    assert (freed.state, freed.context) == ("success", HOLD_CONTEXT)
    assert "merged" in promotion("/approve").description


def test_a_word_on_what_is_no_promotion_says_so(says, comment):
    told = says("/approve", author="rita")
    assert "is the newest commit of no open promotion" in told
