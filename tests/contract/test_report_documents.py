"""verdict.json follows its published schema, and bom.cdx.json CycloneDX's official one."""

import json
from importlib import metadata

import jsonschema
import pytest
from report_samples import DIGEST, PICTURES, check, document, evidence, full

from touchstone.driver import image_bom
from trust_gates import report

REMEDIED = {
    **full(),
    "previous": {"verdict": DIGEST, "remedy": "reweighing", "checks": [check().to_json()]},
}


def problems(verdict):
    validator = jsonschema.Draft202012Validator(report.schema())
    return [error.json_path for error in validator.iter_errors(verdict)]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(report.schema())


@pytest.mark.parametrize("verdict", [full(), document(evidence(check())), REMEDIED, document()])
def test_verdicts_follow_it(verdict):
    assert problems(verdict) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"passed": "true"}, "$.passed"),
        ({"kind": "Release"}, "$.kind"),
        ({"model": "latest"}, "$.model"),
        ({"checks": [{"name": "accuracy"}]}, "$.checks[0]"),
        ({"checks": [{**check().to_json(), "outcome": "skipped"}]}, "$.checks[0].outcome"),
        ({"checks": [{**check().to_json(), "waived": True}]}, "$.checks[0]"),
    ],
)
def test_what_is_no_verdict_does_not(change, place):
    assert place in problems({**full(), **change})


def problem(text):
    """What CycloneDX's official schema has against a bill of materials."""
    pytest.importorskip("cyclonedx", reason="the extra `dev` brings it")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


@pytest.mark.parametrize("verdict", [full(), document(evidence(check()))])
def test_the_bill_of_materials_follows_cyclonedx(verdict):
    assert problem(report.render(verdict, PICTURES)[report.BOM_FILE].decode()) is None


def test_the_bill_of_materials_names_the_model_its_data_and_its_libraries():
    bom = json.loads(report.render(full(), {})[report.BOM_FILE])
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "tiny")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0]["confidenceInterval"] == {"lowerBound": "0.85", "upperBound": "0.95"}
    found = {part["bom-ref"]: part["type"] for part in bom["components"]}
    assert found == {
        "data:dataset": "data",
        "data:data": "data",
        "python": "platform",
        "pkg:pypi/torch@2.13.0%2Bcpu": "library",
        "pkg:pypi/lightgbm@4.6.0": "library",
    }
    assert set(bom["dependencies"][0]["dependsOn"]) == set(found)


def test_an_images_bill_of_materials_follows_cyclonedx_and_names_what_is_installed(tmp_path):
    record = tmp_path / "status"
    record.write_text(
        "Package: git\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.39\n"
        "Description: revisions\n Homepage: of git\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    document = image_bom.of("touchstone-core", record)
    assert problem(json.dumps(document)) is None
    parts = {part["name"]: part for part in document["components"]}
    assert parts["git"]["purl"] == "pkg:deb/debian/git@1%3A2.39?arch=amd64"
    assert parts["numpy"]["version"] == metadata.version("numpy")
    assert "gone" not in parts
    assert document == image_bom.of("touchstone-core", record)
