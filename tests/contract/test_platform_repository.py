"""What `touchstone install --write` writes builds, and is what the overlays of tekton/ are."""

from __future__ import annotations

import pytest
import yaml
from kubectl import built

from touchstone.install import onboard, overlay, values
from touchstone.install.api import INSTALLATION

GIVEN = {"registry": "registry.acme.dev/models", "gitops": "https://git.acme.dev/ops/gitops.git"}
STORE = {"store": "s3://models/touchstone"}
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The objects of a platform repository with a store, a domain and a team; by kind and name."""
    folder = tmp_path_factory.mktemp("platform")
    images = {"touchstone-core": {"name": "registry.acme.dev/mirror/core", "digest": DIGEST}}
    more = {"overlay": "s3", **STORE, "domain": "hooks.acme.dev", "images": images,
            "namespace": "ml"}  # fmt: skip
    known = values.given({**GIVEN, **more})
    overlay.write(folder, known)
    team = onboard.team("https://github.com/vision/detector.git", known, model="detector", cpu="4")
    onboard.write_folder(folder, team, known)
    return built(folder)


def of(objects, kind, name, namespace=None):
    return next(
        one
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
        and namespace in (None, one["metadata"].get("namespace"))
    )


def test_every_object_can_be_found_again_by_the_installation(written):
    labels = {
        (one["kind"], one["metadata"]["name"]): one["metadata"]["labels"].get(INSTALLATION)
        for one in written
    }
    assert {key for key, label in labels.items() if label != "ml"} == {("ConfigMap", "argocd-cm")}


def test_no_two_objects_are_one(written):
    keys = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in written
    ]
    assert len(keys) == len(set(keys))
    assert {one["metadata"]["name"] for one in written if one["kind"] == "Namespace"} == {
        *("ml", "vision-detector", "staging", "production")
    }


@pytest.mark.parametrize("namespace", ["ml", "vision-detector"])
def test_a_namespace_of_runs_has_the_values_of_the_installation(written, namespace):
    binding = of(written, "TriggerBinding", "touchstone-installation", namespace)
    params = {one["name"]: one["value"] for one in binding["spec"]["params"]}
    assert params == {"image-registry": GIVEN["registry"], "gitops-url": GIVEN["gitops"]}
    account = of(written, "ServiceAccount", "touchstone-promoter", namespace)
    assert account["secrets"] == [{"name": "touchstone-git-push"}]
    assert "secrets" not in of(written, "ServiceAccount", "touchstone-stage", namespace)
    ingress = of(written, "Ingress", "touchstone", namespace)["spec"]
    assert ingress["rules"][0]["host"] == ingress["tls"][0]["hosts"][0] == "hooks.acme.dev"


def test_a_team_posts_to_a_path_of_its_own_and_has_its_quota(written):
    paths = {
        one["metadata"]["namespace"]: one["spec"]["rules"][0]["http"]["paths"][0]["path"]
        for one in written
        if one["kind"] == "Ingress"
    }
    assert paths == {"ml": "/", "vision-detector": "/vision-detector"}
    quota = of(written, "ResourceQuota", "touchstone", "vision-detector")["spec"]["hard"]
    assert quota["requests.cpu"] == "4"


def test_images_are_named_by_digest_wherever_they_stand(written):
    named = {image for one in written for image in _images(one) if "core" in image}
    assert named == {f"registry.acme.dev/mirror/core@{DIGEST}"}


def _images(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from _images(value)
    elif isinstance(node, list):
        for value in node:
            yield from _images(value)


def test_argo_cd_serves_from_the_gitops_repository_into_the_environments(written):
    project = of(written, "AppProject", "touchstone")["spec"]
    assert project["sourceRepos"] == [GIVEN["gitops"]]
    assert [one["namespace"] for one in project["destinations"]] == ["staging", "production"]
    sets = of(written, "ApplicationSet", "touchstone-models")
    assert "touchstone-ml" not in yaml.safe_dump(sets)
    assert not [one for one in written if one["metadata"]["name"] == "touchstone-bootstrap"]


@pytest.mark.parametrize("name", values.OVERLAYS)
def test_every_overlay_is_written_and_builds(tmp_path, name):
    known = values.given({**GIVEN, "overlay": name, **({} if name == "minimal" else STORE)})
    overlay.write(tmp_path, known)
    assert {one["metadata"]["name"] for one in built(tmp_path)} >= {"staging", "production"}


def test_private_addresses_are_added_to_what_stages_may_reach_and_to_nothing_else(tmp_path):
    overlay.write(tmp_path, values.given({**GIVEN, "reach": ["10.1.2.0/24"]}))
    policies = {one["metadata"]["name"]: one for one in built(tmp_path) if "egress" in str(one)}
    named = {name for name, one in policies.items() if "10.1.2.0/24" in str(one["spec"])}
    assert named == {
        *("touchstone-runs-git", "touchstone-runs-registry", "touchstone-runs-web"),
        "touchstone-requests",
    }
    ruled = policies["touchstone-requests"]["spec"]["egress"]
    assert "10.1.2.0/24" not in str(ruled[0]), "that one is for DNS"


def test_a_forge_and_a_registry_of_the_cluster_itself_can_be_reached(tmp_path):
    inside = {
        "registry": "registry.images.svc:5000/m",
        "gitops": "http://gitea.git.svc:3000/a/b.git",
    }
    overlay.write(tmp_path, values.given(inside))
    found = built(tmp_path)
    labels = {
        name: of(found, "Namespace", name)["metadata"]["labels"] for name in ("git", "images")
    }
    assert (
        labels["git"].items()
        >= {"touchstone.dev/git": "true", "touchstone.dev/webhooks": "true"}.items()
    )
    assert labels["images"]["touchstone.dev/registry"] == "true"
    assert not any(INSTALLATION in one for one in labels.values()), "uninstalling would delete it"


def test_written_again_what_people_wrote_stays_and_the_rest_is_new(tmp_path):
    known = values.given(GIVEN)
    overlay.write(tmp_path, known)
    top, stale = tmp_path / "kustomization.yaml", tmp_path / "installation" / "stale.yaml"
    top.write_text(top.read_text() + "# ours\n")
    stale.touch()
    overlay.write(tmp_path, known)
    assert top.read_text().endswith("# ours\n")
    assert not stale.exists()
