"""verdict.json follows its published schema, and bom.cdx.json CycloneDX's official one."""

import json

import jsonschema
import pytest
from report_samples import DIGEST, PICTURES, check, document, evidence, full

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


@pytest.mark.parametrize("verdict", [full(), document(evidence(check()))])
def test_the_bill_of_materials_follows_cyclonedx(verdict):
    pytest.importorskip("cyclonedx", reason="the extra `dev` brings it")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = report.render(verdict, PICTURES)[report.BOM_FILE].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


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
