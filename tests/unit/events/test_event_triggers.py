"""Wrong trigger YAML is refused as a whole, with the place of the mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from touchstone.errors import ManifestError
from touchstone.events.triggers import load_triggers

TRIGGERS = Path(__file__).parents[3] / "tekton" / "triggers"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(TRIGGERS, tmp_path, dirs_exist_ok=True)


def test_the_repositorys_own_triggers_load():
    loaded = load_triggers([TRIGGERS])
    assert loaded.name == "touchstone"
    assert "push" in [trigger.name for trigger in loaded.triggers]


def test_documents_of_other_groups_are_left_to_the_cluster(folder):
    (folder / "kustomization.yaml").write_text("apiVersion: kustomize.config.k8s.io/v1\nkind: X\n")
    (folder / "empty.yaml").write_text("---\n---\n")
    assert load_triggers([folder]).name == "touchstone"


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("new-objects/object-store.yaml", "name: cel", "name: sed", "'sed'"),
        ("new-objects/object-store.yaml", "- name: filter", "- name: fliter", "'fliter'"),
        (
            "new-objects/object-store.yaml",
            "has(body.Records)",
            "has(body.Records) &&",
            "CEL expression",
        ),
        ("new-objects/object-store.yaml", "marshalJSON", "shorten", "'shorten'"),
        ("forges.yaml", "value: [push, tag]", "value: push", "events 'push', expected a list"),
        ("forges.yaml", "value: [push, tag]", "value: [branch]", "expected some of"),
        ("forges.yaml", "- name: tags", "- name: tag", "the param 'tag'"),
        ("forges.yaml", "value: ^v[0-9]", "value: (v[0-9]", "expected a regular expression"),
        ("forges.yaml", "value: true", "value: yes please", "true or false"),
        ("forges.yaml", "name: touchstone\n", "name: touchstoen\n", "no Interceptor 'touchstoen'"),
        ("forges.yaml", "- ref: forge-event", "- ref: gitlab", "no TriggerBinding 'gitlab'"),
        ("forges.yaml", "- ref: forge-event", "- {}", "either ref"),
        ("forges.yaml", "ref: model", "ref: other", "no TriggerTemplate 'other'"),
        ("forges.yaml", "  bindings:", "  triggerRef: x\n  bindings:", "no such field"),
        (
            "forges.yaml",
            "    ref: model",
            "    ref: model\n    spec: {}",
            "got nothing",
        ),
        ("forges.yaml", "v1beta1\nkind: Trigger\n", "v1alpha1\nkind: Trigger\n", "v1alpha1"),
        ("forges.yaml", "kind: TriggerBinding", "kind: Pod", "Pod"),
        ("forges.yaml", "  name: push\n", "", "no name"),
        ("listener.yaml", "labelSelector:", "labelSelektor:", "no such field"),
        ("listener.yaml", "matchLabels:", "matchLabel:", "no such field"),
        ("forges.yaml", "$(extensions.ref)", "$(tt.params.x)", "tt.params.x"),
        ("forges.yaml", "name: repository\n", "name: repo-url\n", "'repo-url' twice"),
        ("bindings.yaml", "name: gitops-url", "name: git-url", "no value for the param"),
        ("bindings.yaml", "  labels:\n", "  labels: 5\n  annotations:\n", "metadata.labels: got 5"),
        ("forges.yaml", "value: $(extensions.ref)", "value: 7", "string"),
        ("template.yaml", "      kind: PipelineRun", "      kind: ''", "apiVersion and kind"),
        (
            "template.yaml",
            "generateName: $(tt.params.run-name)-",
            "finalizers: []",
            "generateName",
        ),
        ("template.yaml", "$(tt.params.revision)", "$(tt.params.comit)", "tt.params.comit"),
        ("template.yaml", "resourcetemplates:", "templates:", "got nothing"),
        ("template.yaml", "spec:\n  params:", "spec:\n  params: [", "broken YAML"),
    ],
)
def test_a_mistake_is_refused_with_its_file_and_line(folder, file, old, new, reason):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError, match=reason.replace("$", r"\$")) as raised:
        load_triggers([folder])
    place = raised.value.location.removeprefix(str(folder) + "/").split(":")
    assert place[0].endswith(".yaml")
    assert int(place[1]) > 1 and int(place[2]) >= 1


def test_a_key_given_twice_is_refused(folder):
    text = (folder / "template.yaml").read_text()
    (folder / "template.yaml").write_text(text.replace("kind: Trig", "kind: Pod\nkind: Trig", 1))
    with pytest.raises(ManifestError, match=r"template\.yaml:\d+:1: got broken YAML: .*duplicate"):
        load_triggers([folder])


def test_no_listener_is_refused(folder):
    (folder / "listener.yaml").unlink()
    with pytest.raises(ManifestError, match="0 EventListeners"):
        load_triggers([folder])


def test_a_second_listener_is_refused(folder):
    text = (folder / "listener.yaml").read_text()
    (folder / "z.yaml").write_text(text.replace("name: touchstone\n", "name: other\n"))
    with pytest.raises(ManifestError, match="2 EventListeners"):
        load_triggers([folder])


def test_the_same_name_twice_is_refused(folder):
    (folder / "again.yaml").write_text((folder / "template.yaml").read_text())
    with pytest.raises(ManifestError, match="second TriggerTemplate 'model'"):
        load_triggers([folder])


def test_a_document_that_is_no_mapping_is_refused(folder):
    (folder / "list.yaml").write_text("- 1\n")
    with pytest.raises(ManifestError, match="expected a mapping"):
        load_triggers([folder])


def test_a_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="no such file"):
        load_triggers([tmp_path / "absent.yaml"])
