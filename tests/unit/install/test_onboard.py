"""A team's repository is proposed by two branches, and nothing that people wrote is lost."""

from __future__ import annotations

import pytest
import yaml

from touchstone.delivery import gitops, people
from touchstone.errors import PlatformError, UsageError
from touchstone.git import git
from touchstone.install import onboard, overlay, values

MODEL = "https://github.com/vision/detector.git"


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """URLs of a platform repository with a store, and of a GitOps repository."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    gitops.create(tmp_path / "gitops.git")
    known = values.given(
        {
            "registry": "registry.acme.dev/models",
            "gitops": (tmp_path / "gitops.git").as_uri(),
            "overlay": "s3",
            "store": "s3://models/touchstone",
            "domain": "hooks.acme.dev",
        }
    )
    bare = tmp_path / "platform.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    with gitops.clone(bare.as_uri()) as checkout:
        checkout.git("checkout", "--quiet", "--orphan", "main")
        overlay.write(checkout.path, known)
        checkout.commit("The platform", {})
        checkout.push("HEAD:refs/heads/main")
    return bare.as_uri(), known


def team_of(known, **options):
    return onboard.team(MODEL, known, **{"model": "detector", **options})


def at(url, branch):
    return git("--git-dir", url.removeprefix("file://"), "ls-tree", "-r", "--name-only", branch)


def test_a_team_gets_a_folder_with_a_namespace_quota_and_listener_of_its_own(remote, tmp_path):
    platform, known = remote
    proposal = onboard.propose_folder(platform, team_of(known, cpu="4", memory="16Gi"))
    assert proposal.branch == "onboard/vision-detector"
    assert set(proposal.files) == {
        "teams/kustomization.yaml",
        "teams/vision-detector/README.md",
        "teams/vision-detector/kustomization.yaml",
    }
    git("clone", "--quiet", "--branch", proposal.branch, platform, str(tmp_path / "clone"))
    folder = tmp_path / "clone" / "teams"
    assert yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"] == [
        "vision-detector"
    ]
    document = yaml.safe_load((folder / "vision-detector" / "kustomization.yaml").read_text())
    assert document["namespace"] == "vision-detector"
    assert (
        "touchstone-webhook -n vision-detector"
        in (folder / "vision-detector" / "README.md").read_text()
    )
    assert (
        "https://hooks.acme.dev/vision-detector"
        in (folder / "vision-detector" / "README.md").read_text()
    )


def test_the_name_of_the_model_becomes_the_repositorys_and_comments_stay(remote):
    _, known = remote
    proposal = onboard.propose_owner(team_of(known, accounts=["github:Ada"]), known.gitops)
    with gitops.clone(known.gitops) as checkout:
        tip = f"origin/{proposal.branch}"
        found = people.read_at(checkout, tip)
        text = checkout.read(tip, gitops.PEOPLE_FILE).decode()
    assert found.models == {"detector": (MODEL,)}
    assert found.run == found.review == ("github:ada",)
    assert text.count("#") == gitops.Founders().people().count("#")
    assert "main" not in proposal.branch


def test_a_name_that_belongs_to_another_repository_is_refused(remote):
    _, known = remote
    with gitops.clone(known.gitops) as checkout:
        checkout.write("people.yaml", b"models: {detector: ['https://github.com/a/b']}\n")
        checkout.commit("Theirs", {})
        checkout.push("HEAD:refs/heads/main")
    with pytest.raises(UsageError, match="belongs to https://github.com/a/b"):
        onboard.propose_owner(team_of(known), known.gitops)


def test_a_team_may_join_a_namespace_that_is_there(remote):
    platform, known = remote
    asked = team_of(known, namespace="touchstone")
    assert onboard.propose_folder(platform, asked).branch == ""
    assert onboard.propose_owner(asked, known.gitops).branch


def test_asked_again_it_proposes_the_same_and_after_the_merge_nothing(remote):
    platform, known = remote
    asked = team_of(known)
    first = onboard.propose_folder(platform, asked)
    assert onboard.propose_folder(platform, asked) == first
    bare = platform.removeprefix("file://")
    git("--git-dir", bare, "update-ref", "refs/heads/main", f"refs/heads/{first.branch}")
    assert onboard.propose_folder(platform, asked).branch == ""


def test_a_second_namespace_needs_a_store_that_both_reach(remote):
    platform, known = remote
    with gitops.clone(platform) as checkout:
        plain = values.given({"registry": known.registry, "gitops": known.gitops})
        overlay.write(checkout.path, plain)
        checkout.commit("A volume", {})
        checkout.push("HEAD:refs/heads/main")
    with pytest.raises(PlatformError) as refused:
        onboard.propose_folder(platform, team_of(plain))
    assert "--namespace touchstone joins that one" in refused.value.hint


@pytest.mark.parametrize("url", ["https://github.com/", "detector", "https://github.com/detector"])
def test_a_url_without_an_owner_is_refused(remote, url):
    with pytest.raises(UsageError, match="expected the URL of a repository with an owner"):
        onboard.team(url, remote[1], model="detector")


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        (MODEL, "https://github.com/vision/detector/compare/main...onboard/x"),
        (
            "git@gitlab.com:a/b.git",
            "https://gitlab.com/a/b/-/merge_requests/new?merge_request[source_branch]=onboard/x",
        ),
        ("file:///tmp/x.git", ""),
    ],
)
def test_where_the_review_is_asked_for(url, opened):
    assert onboard.compare_url(onboard.Proposal(repository=url, branch="onboard/x", files=())) == (
        opened
    )
