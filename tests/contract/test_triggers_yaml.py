"""tekton/triggers/ is what a cluster gets: schemas, references and descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_schemas import check, needs_schemas

from scripts import notify
from touchstone.events import inside, signature
from touchstone.events.listener import Listener
from touchstone.events.triggers import load_listeners, load_triggers
from touchstone.runs.store import State

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tekton" / "triggers"
SOURCES = ROOT / "tekton" / "sources"
KNATIVE = ROOT / "tekton" / "components" / "knative" / "remedy.yaml"


def found_in(folder: Path) -> list[Any]:
    return [
        document
        for file in sorted(folder.rglob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if str(document.get("apiVersion", "")).startswith("triggers.tekton.dev/")
    ]


DOCUMENTS = found_in(FOLDER)
TEMPLATES = [d for d in DOCUMENTS + found_in(SOURCES) if d["kind"] == "TriggerTemplate"]


def documents(kind: str) -> list[Any]:
    return [document for document in DOCUMENTS if document["kind"] == kind]


@needs_schemas
def test_the_run_that_a_push_creates_is_a_tekton_v1_pipelinerun(tmp_path):
    push = {
        "ref": "refs/heads/main",
        "after": "0123456789abcdef0123456789abcdef01234567",
        "deleted": False,
        "repository": {
            "name": "m",
            "full_name": "me/m",
            "clone_url": "file:///srv/m.git",
            "default_branch": "main",
        },
    }
    body = json.dumps(push).encode()
    listener = Listener(
        State(tmp_path), triggers=load_triggers([FOLDER]), secrets=lambda name, key: b"key"
    )
    listener.state.add_event(
        source="github",
        event_id="1",
        headers={"x-github-event": "push", signature.HEADER: signature.sign(body, b"key")},
        body=body,
    )
    (event,) = listener.state.pending_events()
    (run,) = listener.process(event).runs
    assert run["apiVersion"] == "tekton.dev/v1"
    check(run)


def test_the_listener_is_called_touchstone_and_requires_a_signature_on_every_trigger():
    (listener,) = documents("EventListener")
    assert listener["metadata"]["name"] == "touchstone"
    selected = listener["spec"]["labelSelector"]["matchLabels"]
    for trigger in documents("Trigger"):
        assert selected.items() <= trigger["metadata"]["labels"].items()
    for trigger in load_triggers([FOLDER]).triggers:
        first = trigger.links[0].interceptor  # checked before anything is read
        assert first.secrets_used, trigger.name


def test_what_proves_nothing_is_reached_by_the_cluster_alone():
    outside, inside = load_listeners([FOLDER, SOURCES])
    assert inside.name == "touchstone-sources"
    assert not {trigger.name for trigger in inside.triggers} & {t.name for t in outside.triggers}
    (policy,) = [
        document
        for document in yaml.safe_load_all((SOURCES / "listener" / "listener.yaml").read_text())
        if document["kind"] == "NetworkPolicy"
    ]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"eventlistener": inside.name}


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_param_of_a_template_is_described_and_used(template):
    text = json.dumps(template["spec"]["resourcetemplates"])
    for param in template["spec"]["params"]:
        assert param.get("description"), param["name"]
        assert f"$(tt.params.{param['name']})" in text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_never_puts_a_secret_into_a_param(template):
    for resource in template["spec"]["resourcetemplates"]:
        for param in resource["spec"]["params"]:
            assert not {"token", "password", "secret"} & set(param["name"].split("-"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_run_gives_its_pipeline_exactly_what_the_pipeline_asks_for(template):
    for resource in template["spec"]["resourcetemplates"]:
        kind = "pipeline" if resource["kind"] == "PipelineRun" else "task"
        name = resource["spec"][f"{kind}Ref"]["name"]
        pipeline = yaml.safe_load((ROOT / "tekton" / f"{kind}s" / f"{name}.yaml").read_text())
        declared = {param["name"]: "default" in param for param in pipeline["spec"]["params"]}
        given = {param["name"] for param in resource["spec"]["params"]}
        assert given <= set(declared)
        assert {param for param, optional in declared.items() if not optional} <= given
        wanted = {
            workspace["name"]
            for workspace in pipeline["spec"].get("workspaces", [])
            if not workspace.get("optional")
        }
        bound = {workspace["name"] for workspace in resource["spec"].get("workspaces", [])}
        assert wanted <= bound


def test_a_request_mounts_no_private_key_and_may_touch_runs_alone():
    (template,) = [
        item
        for item in documents("TriggerTemplate")
        if item["metadata"]["name"] == "pull-request-command"
    ]
    (resource,) = template["spec"]["resourcetemplates"]
    (key,) = [w for w in resource["spec"]["workspaces"] if w["name"] == "verification-key"]
    assert [item["key"] for item in key["secret"]["items"]] == ["public.pem"]
    text = (FOLDER / "requests.yaml").read_text()
    (role,) = [item for item in yaml.safe_load_all(text) if item["kind"] == "Role"]
    allowed = {
        (r, verb) for rule in role["rules"] for r in rule["resources"] for verb in rule["verbs"]
    }
    assert allowed == {
        ("triggertemplates", "get"),
        *(("pipelineruns", verb) for verb in ("get", "list", "create", "patch")),
    }


def test_a_knative_trigger_brings_refusals_alone_and_in_binary_mode():
    (trigger,) = [
        document
        for document in yaml.safe_load_all(KNATIVE.read_text())
        if document["apiVersion"].startswith("eventing.knative.dev/")
    ]
    assert trigger["spec"]["filter"] == {"attributes": {"type": notify.REFUSED}}
    assert trigger["spec"]["delivery"]["format"] == "binary"  # else bindings see the envelope
    assert trigger["spec"]["subscriber"]["ref"]["name"] == f"el-{inside.SOURCES}"
    (ours,) = [
        trigger
        for listener in load_listeners([FOLDER, SOURCES])
        if listener.name == inside.SOURCES
        for trigger in listener.triggers
        if trigger.name == "remedy"
    ]
    (run,) = ours.resources
    assert "generateName" not in run["metadata"]  # a repeat of the event must find it there
