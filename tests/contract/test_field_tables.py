"""The tables that Tekton's documents are read by have the fields of Tekton and of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest

from touchstone.documents import core_types
from touchstone.documents.shapes import (
    BASE64,
    FLAG,
    INT32,
    NUMBER,
    PORT,
    QUANTITY,
    TEXT,
    TIME,
    Choice,
    Core,
    Inert,
    Leaf,
    ListOf,
    MapOf,
    Open,
    Refused,
    Shape,
    Table,
)
from touchstone.engine.text.fields import KINDS

CRDS = Path(__file__).parents[3] / "shared" / "crds"
_KINDS = ("Task", "Pipeline", "PipelineRun", "TaskRun", "StepAction")
_OWN = {"PodTemplate"}
"""Tekton's, not Kubernetes'."""

_NEWER = {
    "FileKeySelector", "ImageVolumeSource", "PodCertificateProjection", "EnvVarSource.fileKeyRef",
    "Lifecycle.stopSignal", "PodSecurityContext.supplementalGroupsPolicy",
    "PodSecurityContext.seLinuxChangePolicy", "ResourceClaim.request", "Volume.image",
    "VolumeProjection.podCertificate",
}  # fmt: skip
"""What Kubernetes has had since the client that the project pins."""

_LEAVES: dict[str, tuple[Shape, ...]] = {
    "str": (TEXT, QUANTITY),
    "int": (INT32, NUMBER),
    "bool": (FLAG,),
    "datetime": (TIME,),
    "object": (PORT,),
    "dict(str, str)": (MapOf(TEXT), MapOf(QUANTITY), MapOf(BASE64)),
    "list[int]": (ListOf(NUMBER),),
    "list[str]": (ListOf(TEXT),),
}
_OPAQUE = {"list[V1ManagedFieldsEntry]", "V1PersistentVolumeClaimStatus"}


@pytest.mark.parametrize("name", core_types.names())
def test_a_type_of_kubernetes_has_the_fields_of_its_client(name: str) -> None:
    fields = core_types.table(name).fields
    model: Any = getattr(kubernetes.client, f"V1{name}", None)
    if name in _OWN or model is None:
        assert name in _OWN | _NEWER
        return
    theirs = {model.attribute_map[key]: kind for key, kind in model.openapi_types.items()}
    assert {key for key in fields if f"{name}.{key}" not in _NEWER} == set(theirs)
    for key, kind in theirs.items():
        if kind not in _OPAQUE:
            assert fields[key] in _expected(kind), (key, kind)


def _expected(kind: str) -> tuple[Shape, ...]:
    if kind.startswith("V1"):
        return (Core(kind.removeprefix("V1")),)
    if kind.startswith("list[V1"):
        return (ListOf(Core(kind.removeprefix("list[V1").removesuffix("]"))),)
    return _LEAVES[kind]


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"the published CRDs are not at {CRDS}")
@pytest.mark.parametrize("kind", _KINDS)
def test_a_kind_of_tekton_has_the_fields_of_its_crd(kind: str) -> None:
    crd = json.loads((CRDS / f"tekton.dev_{kind.lower()}s.json").read_text())["spec"]
    version = next(
        one for one in crd["versions"] if one["name"] in ("v1", "v1beta1") and one["storage"]
    )
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert list(_differences(KINDS[kind].fields["spec"], schema, "spec")) == []


def _differences(shape: Shape, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Where a field of one is none of the other, or has another type."""
    is_open = isinstance(shape, Open)
    while isinstance(shape, Inert | Refused | Open):
        shape = shape.of
        is_open = is_open or isinstance(shape, Open)
    if isinstance(shape, Core):
        shape = core_types.table(shape.name)
    seen = schema.get("properties") or schema.get("items") or schema.get("additionalProperties")
    if not seen:
        scalar = isinstance(shape, Leaf | Choice)
        if is_open == scalar and schema.get("type") != "object":
            yield f"{path}: {shape} where the schema has {schema}"
        return
    if is_open:
        yield f"{path}: is read in any letter case, though the schema looks into it"
    match shape:
        case ListOf(of=of):
            yield from _differences(of, schema["items"], f"{path}[]")
        case MapOf(of=of):
            yield from _differences(of, schema["additionalProperties"], f"{path}{{}}")
        case Table(fields=fields):
            for name in fields.keys() ^ schema["properties"].keys():
                yield f"{path}.{name}: in one alone"
            for name in fields.keys() & schema["properties"].keys():
                yield from _differences(fields[name], schema["properties"][name], f"{path}.{name}")
