"""The gate as a cluster runs it: a model's code answers from a sidecar with nothing but its folder.

The component's patch is applied to the Task as kustomize does, and the embedded engine runs that.
"""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from hosted_models import rows

from touchstone.home import SHIPPED, packages_of
from touchstone.training import hosted
from touchstone.training.opened import open_model
from trust_gates.errors import GateError

COMPONENT = SHIPPED / "tekton" / "components" / "model-host" / "kustomization.yaml"


def patched():
    """The gate's Task with the component's sidecar."""
    task = yaml.safe_load((SHIPPED / "tekton" / "tasks" / "gate.yaml").read_text())
    component = yaml.safe_load(COMPONENT.read_text())
    for patch in component["patches"]:
        assert patch["target"] == {"kind": "Task", "name": "gate"}
        for change in yaml.safe_load(patch["patch"]):
            assert change["op"] == "add"
            *parents, last = change["path"].strip("/").split("/")
            here = task
            for part in parents:
                here = here[int(part)] if part.isdigit() else here[part]
            assert last not in here, f"the patch would replace {change['path']}"
            here[last] = change["value"]
    return task


def test_the_sidecar_has_no_workspace_no_credential_and_shares_one_folder():
    spec = patched()["spec"]
    (sidecar,) = spec["sidecars"]
    (step,) = spec["steps"]
    # Named, so it is the step's alone; where it is anyway.
    assert step["workspaces"] == [{"name": "artifacts", "mountPath": "/workspace/artifacts"}]
    assert "workspaces" not in sidecar
    assert "env" not in sidecar
    assert [mount["name"] for mount in sidecar["volumeMounts"]] == ["model-host"]
    assert sidecar["volumeMounts"] == step["volumeMounts"]
    assert spec["volumes"] == [{"name": "model-host", "emptyDir": {"medium": "Memory"}}]
    context = sidecar["securityContext"]
    assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert step["env"] == [{"name": hosted.LISTENER, "value": sidecar["command"][-1]}]


def test_the_patched_task_is_one_that_tekton_admits(tmp_path):
    file = tmp_path / "gate.yaml"
    file.write_text(yaml.safe_dump(patched()))
    done = subprocess.run(
        [sys.executable, "-m", "touchstone", "validate", file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """The sidecar's program, in a folder that it shares with the gate."""
    shared = tmp_path / "shared"
    shared.mkdir()
    path = shared / "socket"
    command = [sys.executable, "-P", SHIPPED / "training" / "host.py", "--listen", path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    monkeypatch.setenv(hosted.LISTENER, str(path))
    yield path
    process.terminate()
    process.wait()


@pytest.mark.long
def test_a_gate_asks_the_host_next_door_as_it_would_its_own(tmp_path, listener):
    spec, module, folder = rows(tmp_path)
    for _ in range(2):  # the sidecar starts one host for each that asks
        opened = open_model(folder)
        assert opened.asked_as.startswith("confined by ")
        inputs = torch.rand(5, 4, requires_grad=True)
        found = opened.spec.predict(opened.module, inputs)
        torch.testing.assert_close(found, spec.predict(module, inputs))
        (gradient,) = torch.autograd.grad(found.sum(), inputs)
        (expected,) = torch.autograd.grad(module(inputs).sum(), inputs)
        torch.testing.assert_close(gradient, expected)
        del opened, found
    assert [path.name for path in listener.parent.iterdir()] == [
        "socket"
    ]  # no copy of the tree is left


@pytest.mark.long
def test_code_that_fails_next_door_is_the_gates_error_and_the_next_is_answered(tmp_path, listener):
    _, module, folder = rows(tmp_path)
    file = folder / "code" / "model.py"
    code = file.read_text()
    file.write_text(code + "\nraise RuntimeError('not today')\n")
    with pytest.raises(
        GateError, match=r"cannot be loaded: model\.py:\d+: RuntimeError: not today"
    ):
        open_model(folder)
    file.write_text(code.replace("return module(inputs)\n", "os._exit(3)\n"))
    opened = open_model(folder)
    with pytest.raises(GateError, match="gave no answer"):
        opened.spec.predict(opened.module, torch.rand(2, 4))
    file.write_text(code)
    opened = open_model(folder)
    assert opened.spec.predict(opened.module, torch.rand(2, 4)).shape == (2, 3)


def test_a_models_packages_are_seen_next_door(tmp_path, listener):
    _, module, folder = rows(tmp_path, "return module(inputs) * frobnicate.VALUE")
    packages_of(folder).mkdir()
    (packages_of(folder) / "frobnicate.py").write_text("VALUE = 3\n")
    file = folder / "code" / "model.py"
    file.write_text(f"import frobnicate\n{file.read_text()}")
    document = json.loads((folder / "model.json").read_text())
    named = {**document, "packages": f"sha256:{'0' * 64}"}
    (folder / "model.json").write_text(json.dumps(named))
    opened = open_model(folder)
    inputs = torch.rand(5, 4)
    found = opened.spec.predict(opened.module, inputs)
    torch.testing.assert_close(found, module(inputs).detach() * 3)


def test_a_sidecar_that_never_comes_is_named(tmp_path, monkeypatch):
    _, _, folder = rows(tmp_path)
    monkeypatch.setattr(hosted, "_PATIENCE", 0.3)
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv(hosted.LISTENER, str(tmp_path / "shared" / "socket"))
    with pytest.raises(GateError, match="got no model host at"):
        open_model(folder)
