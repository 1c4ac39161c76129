"""Everything Argo CD gets from us, and the manifests it syncs, is what the projects accept."""

import json
from fnmatch import fnmatch
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from touchstone.artifacts.store import digest_bytes
from touchstone.delivery.release import (
    Digests,
    Release,
    Serve,
    image_reference,
    inference_service,
    to_yaml,
)

ROOT = Path(__file__).parents[2]
CRDS = ROOT.parent / "shared" / "crds"
FILES = sorted((ROOT / "argocd").glob("*.yaml"))
DOCUMENTS = [
    pytest.param(document, id=f"{path.name}-{document['kind']}-{document['metadata']['name']}")
    for path in FILES
    for document in YAML(typ="safe").load_all(path.read_text())
]
RELEASE = Release(
    model="tiny",
    repository="https://git.example.org/me/tiny.git",
    environments=("staging",),
    version="1a2b3c4d5e6f",
    commit="1a2b3c4d5e6f" + "0" * 28,
    created="2026-01-01T00:00:00Z",
    image=image_reference("registry.example.org/tiny:latest", digest_bytes(b"image")),
    digests=Digests(
        model=digest_bytes(b"m"), source=digest_bytes(b"s"), verdict=digest_bytes(b"v")
    ),
    policy=digest_bytes(b"p"),
    serve=Serve(protocol="v2", canary=10, min_replicas=0),
)


def by_kind(kind):
    return [p.values[0] for p in DOCUMENTS if p.values[0]["kind"] == kind]


def closed(schema):
    """The schema with unknown fields refused wherever the API server would drop them."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    known = isinstance(schema.get("properties"), dict)
    if known and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        result = {"type": ["integer", "string"]}
    if schema.get("nullable") and "type" in result:
        result["type"] = [result["type"], "null"]
    return result


def validate(document):
    group, version = document["apiVersion"].split("/")
    if not CRDS.is_dir():
        pytest.skip(f"{CRDS} is absent: the published schemas are not part of this repository")
    crd = json.loads((CRDS / f"{group}_{document['kind'].lower()}s.json").read_text())
    (schema,) = [
        one["schema"]["openAPIV3Schema"]
        for one in crd["spec"]["versions"]
        if one["name"] == version
    ]
    schema = closed(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize(
    "document", [one for one in DOCUMENTS if one.values[0]["apiVersion"] != "v1"]
)
def test_argo_cd_accepts_the_document(document):
    validate(document)


IN_A_BUCKET = RELEASE.model_copy(update={"store": "s3://models/touchstone"})


@pytest.mark.parametrize("release", [RELEASE, IN_A_BUCKET], ids=["volume", "bucket"])
def test_kserve_accepts_the_inference_service(release):
    document = YAML(typ="safe").load(to_yaml(inference_service(release)))
    validate(document)
    assert document == inference_service(release)


def test_a_model_in_a_bucket_is_read_with_the_secret_of_the_namespace_that_serves():
    """A volume belongs to one namespace, and models are served in others."""
    predictor = inference_service(IN_A_BUCKET)["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert "env" not in container  # nothing for the storage initializer to mount
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "store"]
    assert mount["readOnly"] is True
    assert f"--store={mount['mountPath']}" in container["args"]
    (volume,) = [one for one in predictor["volumes"] if one["name"] == "store"]
    assert volume["secret"] == {"secretName": "touchstone-store"}


def test_a_release_of_a_volume_is_the_same_as_before_there_were_other_stores():
    """Its identity stands in the history of GitOps repositories."""
    assert RELEASE.identity.startswith("sha256:eaaca117b769d6d2")
    assert IN_A_BUCKET.identity != RELEASE.identity


def test_the_schema_test_would_notice_a_misspelled_field():
    document = inference_service(RELEASE)
    document["spec"]["predictor"]["minReplica"] = 1
    if not CRDS.is_dir():
        pytest.skip(f"{CRDS} is absent: the published schemas are not part of this repository")
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        validate(document)


def test_the_inference_service_is_pinned_and_restricted():
    predictor = inference_service(RELEASE)["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert predictor["canaryTrafficPercent"] == 10
    assert predictor["minReplicas"] == 0
    assert container["image"].endswith("@" + digest_bytes(b"image"))
    assert f"--model={RELEASE.digests.model}" in container["args"]
    security = container["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_models_may_be_inference_services_and_nothing_else():
    (models,) = [p for p in by_kind("AppProject") if p["metadata"]["name"] == "touchstone"]
    assert models["spec"]["namespaceResourceWhitelist"] == [
        {"group": "serving.kserve.io", "kind": "InferenceService"}
    ]
    for project in by_kind("AppProject"):
        assert project["spec"]["clusterResourceWhitelist"] == []
        assert not any("*" in repository for repository in project["spec"]["sourceRepos"])
        assert not any("*" in d["namespace"] for d in project["spec"]["destinations"])


def test_the_application_set_finds_exactly_the_folders_that_promotion_writes():
    (application_set,) = by_kind("ApplicationSet")
    (generator,) = application_set["spec"]["generators"]
    (directory,) = generator["git"]["directories"]
    assert fnmatch("environments/staging/tiny", directory["path"])
    source = application_set["spec"]["template"]["spec"]["source"]
    assert source["directory"]["include"] == "inferenceservice.yaml"


def test_every_application_is_in_a_project_that_allows_its_repository():
    projects = {p["metadata"]["name"]: p["spec"]["sourceRepos"] for p in by_kind("AppProject")}
    (application,) = by_kind("Application")
    (application_set,) = by_kind("ApplicationSet")
    for spec in (application["spec"], application_set["spec"]["template"]["spec"]):
        assert spec["source"]["repoURL"] in projects[spec["project"]]


def test_every_health_check_starts_pessimistic_and_answers():
    (config,) = by_kind("ConfigMap")
    assert len(config["data"]) == 6
    for key, lua in config["data"].items():
        assert key.startswith("resource.customizations.health.")
        assert lua.startswith('local health = {status = "Progressing"')
        assert lua.rstrip().endswith("return health")
        words = lua.replace("\n", " ").split()
        opened = words.count("then") - words.count("elseif") + words.count("do")
        assert opened == words.count("end"), key
