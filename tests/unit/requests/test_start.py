"""A ref becomes a run of its commit, embedded and through the Kubernetes API alike."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from touchstone.errors import PlatformError, UsageError
from touchstone.git import git
from touchstone.requests.start import (
    Looked,
    Ref,
    Wanted,
    changes_only,
    default_branch,
    look,
    resolve,
    start,
)
from touchstone.runs.lookup import REPOSITORY

DOCUMENTS = r"([.]md$)|(^LICENSE$)"
WANTED = Wanted(
    template="model-check",
    repo_url="file:///srv/model.git",
    repository="vision/My Detector",
    branch='the "best"',
    revision="0123456789abcdef0123456789abcdef01234567",
    image_registry="localhost/models",
    gitops_url="file:///srv/gitops.git",
    event="e1",
    pull_request="7",
)


def test_a_ref_names_its_commit_and_an_annotated_tag_the_commit_behind_it(repository):
    commit = repository.commit(model__py="1")
    repository.push("refs/heads/main", "refs/pull/7/head")
    git("-c", "user.name=A", "-c", "user.email=a@x", "tag", "-m", "v1", "v1", cwd=repository.work)
    git("push", "--quiet", str(repository.bare), "v1", cwd=repository.work)
    for ref in ("refs/heads/main", "refs/pull/7/head", "refs/tags/v1"):
        assert resolve(repository.url, ref) == commit
    assert resolve(repository.url, "refs/heads/main", seen=commit[:12]) == commit


@pytest.mark.parametrize("ref", ["main", "refs/heads/*", "refs/heads/a b", "--upload-pack=x", ""])
def test_what_is_no_whole_ref_is_refused_before_git_sees_it(repository, ref):
    with pytest.raises(UsageError, match="expected a whole name"):
        resolve(repository.url, ref)


def test_a_ref_that_moved_or_is_gone_starts_nothing(repository):
    old = repository.commit(model__py="1")
    repository.commit(model__py="2")
    repository.push("refs/heads/main")
    with pytest.raises(UsageError, match=f"expected {old[:12]} as in the event"):
        resolve(repository.url, "refs/heads/main", seen=old[:12])
    with pytest.raises(UsageError, match="got no refs/heads/gone"):
        resolve(repository.url, "refs/heads/gone")
    with pytest.raises(PlatformError, match="ls-remote"):
        resolve((repository.bare / "nowhere").as_uri(), "refs/heads/main")


def test_a_change_of_documents_alone_is_told_from_one_of_more(repository):
    first = repository.commit(model__py="1", README__md="a")
    second = repository.commit(README__md="b", LICENSE="c")
    third = repository.commit(README__md="d", model__py="2")
    repository.push("refs/heads/main")
    assert changes_only(repository.url, first, second, DOCUMENTS)
    assert not changes_only(repository.url, second, third, DOCUMENTS)
    assert not changes_only(repository.url, first, first, DOCUMENTS)


@pytest.mark.parametrize("since", ["", "0" * 40, "f" * 40])
def test_in_doubt_about_what_changed_a_run_is_started(repository, since):
    commit = repository.commit(README__md="a")
    repository.push("refs/heads/main")
    assert not changes_only(repository.url, since, commit, DOCUMENTS)


def test_a_run_is_made_from_the_template_and_once_an_event(control):
    name = start(control, WANTED)
    assert name.startswith("my-detector-check-")
    assert start(control, WANTED) == name
    (run,) = control.runs("vision/My Detector", "7")
    assert (run.name, run.revision, run.done) == (name, WANTED.revision, False)
    assert control.runs("other/repository", "7") == []
    assert control.runs("vision/My Detector", "8") == []


def test_another_object_or_event_is_another_run(control):
    wanted = replace(WANTED, template="model", data="s3://b/1")
    names = {start(control, wanted), start(control, replace(wanted, data="s3://b/2"))}
    assert len(names | {start(control, replace(wanted, event="e2"))}) == 3


def test_the_run_says_what_it_is_about(embedded, home):
    from touchstone.runs.store import State

    name = start(embedded, replace(WANTED, template="model", data="s3://b/a%20b.npz"))
    manifest = State(home.root).run(name).manifest
    params = {param["name"]: param["value"] for param in manifest["spec"]["params"]}
    assert params["data"] == "s3://b/a%20b.npz"
    assert params["image"] == "localhost/models/my-detector:0123456"
    annotations = manifest["metadata"]["annotations"]
    assert annotations[REPOSITORY] == "vision/My Detector"
    assert annotations["touchstone.dev/branch"] == 'the "best"'


def test_an_unknown_template_is_refused(control):
    with pytest.raises(PlatformError, match="got no TriggerTemplate 'modle'"):
        start(control, replace(WANTED, template="modle"))


def test_what_the_api_forbids_names_the_role_it_takes(cluster, api):
    api.forbidden = True
    with pytest.raises(PlatformError, match="answered 403") as caught:
        start(cluster, WANTED)
    assert "touchstone-requests" in caught.value.hint


def test_the_stage_starts_a_run_for_each_new_object(repository, home, monkeypatch):
    import json

    import typer

    from scripts import start_run
    from touchstone.runs.store import State

    monkeypatch.setenv("TOUCHSTONE_HOME", str(home.root))
    commit = repository.commit(model__py="1")
    repository.push("refs/heads/main")
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": key}}}
        for key in ("1.npz", "2.npz")
    ]
    app = typer.Typer()
    app.command()(start_run.main)
    arguments = {
        "template": "model",
        "url": repository.url,
        "repository": "me/m",
        "branch": "main",
        "ref": "refs/heads/main",
        "image-registry": "localhost",
        "gitops-url": "file:///g.git",
        "event": "e",
        "records": json.dumps(records),
        "bucket": "b",
    }
    call = [f"--{name}={value}" for name, value in arguments.items()]
    for _ in range(2):  # a step that is repeated starts nothing twice
        result = CliRunner().invoke(app, call)
        assert result.exit_code == 0, result.output
    runs = State(home.root).runs()
    params = [{p["name"]: p["value"] for p in run.manifest["spec"]["params"]} for run in runs]
    assert [(p["data"], p["revision"]) for p in params] == [
        ("s3://b/1.npz", commit),
        ("s3://b/2.npz", commit),
    ]


def test_the_default_branch_is_the_one_that_head_names(repository):
    commit = repository.commit(model__py="1")
    repository.push("refs/heads/main", "refs/heads/trunk")
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=repository.bare)
    assert default_branch(repository.url) == "trunk"
    asked = Ref(branch="trunk", ref="refs/heads/trunk", target="trunk")
    assert look(repository.url, asked) == Looked(revision=commit, reason="")
    other = look(repository.url, Ref(branch="main", ref="refs/heads/main", target="main"))
    assert other.reason == "only the default branch, trunk, starts a run, and this was main"


def test_a_pull_request_is_compared_with_the_branch_it_is_to_be_merged_into(repository):
    repository.commit(model__py="1", README__md="a")
    repository.push("refs/heads/main")
    repository.commit(README__md="b")
    repository.push("refs/heads/words")
    about = {"since": "refs/heads/main", "ignore": DOCUMENTS, "target": "main"}
    words = Ref(branch="words", ref="refs/heads/words", **about)
    assert look(repository.url, words).reason.startswith("only documents differ from ")
    commit = repository.commit(model__py="2")
    repository.push("refs/heads/code")
    code = Ref(branch="code", ref="refs/heads/code", **about)
    assert look(repository.url, code) == Looked(revision=commit, reason="")


def test_a_renamed_file_counts_under_both_names(repository):
    first = repository.commit(model__py="1")
    (repository.work / "model.py").rename(repository.work / "model.md")
    second = repository.commit()
    repository.push("refs/heads/main")
    assert not changes_only(repository.url, first, second, DOCUMENTS)


@pytest.mark.parametrize(
    "text", ["", '{"a": 1}', "[7]", '[{"branch": "a"}]', '[{"path": "x"}]', "null"]
)
def test_further_refs_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="expected a JSON list of refs"):
        Ref.read(text)


def test_two_tags_of_one_push_start_two_runs_and_a_branch_beside_them_none(
    repository, home, monkeypatch
):
    import json

    import typer

    from scripts import start_run
    from touchstone.runs.store import State

    monkeypatch.setenv("TOUCHSTONE_HOME", str(home.root))
    commit = repository.commit(model__py="1")
    repository.push("refs/heads/main", "refs/heads/other", "refs/tags/v1", "refs/tags/v2")
    git("symbolic-ref", "HEAD", "refs/heads/main", cwd=repository.bare)
    tags = [{"branch": f"v{n}", "ref": f"refs/tags/v{n}", "revision": commit} for n in (1, 2)]
    arguments = {
        "template": "model",
        "url": repository.url,
        "repository": "me/m",
        "branch": "other",
        "ref": "refs/heads/other",
        "target": "other",
        "image-registry": "localhost",
        "gitops-url": "file:///g.git",
        "event": "e",
        "further": json.dumps(tags),
    }
    app = typer.Typer()
    app.command()(start_run.main)
    for _ in range(2):
        result = CliRunner().invoke(app, [f"--{name}={text}" for name, text in arguments.items()])
        assert result.exit_code == 0, result.output
        assert "nothing to start for other: only the default branch, main," in result.output
    runs = [run.manifest["metadata"]["annotations"] for run in State(home.root).runs()]
    assert sorted(run["touchstone.dev/branch"] for run in runs) == ["v1", "v2"]
