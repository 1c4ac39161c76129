"""What the steps of a TaskRun see and share: paths, volumes, objects, StepActions, sidecars."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_runs import Ran, run_text

from touchstone.documents.yaml import load_text
from touchstone.engine.pod.pod import Pod
from touchstone.engine.pod.process import SWITCH, Guard
from touchstone.engine.text.objects import collect
from touchstone.errors import ManifestError

_OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue, size: "7"}
---
apiVersion: v1
kind: Secret
metadata: {name: login, annotations: {tekton.dev/git-0: https://git.example}}
type: kubernetes.io/basic-auth
data: {username: YW5u}
stringData: {password: s3cret}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: builder}
secrets: [{name: login}]
---
apiVersion: tekton.dev/v1beta1
kind: StepAction
metadata: {name: greet}
spec:
  params: [{name: whom, default: nobody}, {name: how, default: hello}]
  results: [{name: said, description: the greeting}]
  image: bash
  env: [{name: TEXT, value: $(params.how) $(params.whom)}]
  script: printf %s "$TEXT" > $(step.results.said.path)
---
"""


@pytest.fixture(scope="module")
def namespaces() -> None:
    guard = Guard()
    why = guard.without_namespaces()
    guard.close()
    if why:
        pytest.skip(f"no mount namespaces here: {why}")


def _run(tmp_path: Path, spec: str, *, extra: str = "", metadata: str = "") -> Ran:
    body = "\n".join(f"    {line}" for line in spec.strip("\n").split("\n"))
    return run_text(
        f"{_OBJECTS}apiVersion: tekton.dev/v1\nkind: TaskRun\n"
        f"metadata: {{name: r{metadata}}}\nspec:\n{extra}  taskSpec:\n{body}\n",
        tmp_path / "home",
    )


def _log(ran: Ran, step: str) -> str:
    return (ran.home / "logs" / "r" / "r" / f"{step}.log").read_text()


def _steps(**scripts: str) -> str:
    lines = ["steps:"]
    for name, script in scripts.items():
        body = "".join(f"\n      {line}" for line in script.split("\n"))
        lines.append(f"- name: {name}\n  image: bash\n  script: |-{body}")
    return "\n".join(lines)


_SEEN = {
    "tekton-paths": "echo x > /workspace/f; [[ $HOME == /tekton/home && $PWD == /workspace ]];"
    " ls -d /tekton/{home,results,steps,run,scripts,creds,artifacts}",
    "sh-is-bash": "/bin/sh -c '[[ a == a ]]'",
    "own-root": "mkdir /made-here && touch /made-here/f",
    "system-read-only": "! touch /etc/touchstone-was-here",
    "other-step-read-only": "! touch /tekton/run/1/x 2>/dev/null; touch /tekton/run/0/x",
}


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("script", _SEEN.values(), ids=_SEEN)
def test_a_step_sees_tekton_s_own_paths_and_leaves_the_machine_alone(
    tmp_path: Path, script: str
) -> None:
    ran = _run(tmp_path, _steps(a=script, b="true"))
    assert ran.condition["status"] == "True", _log(ran, "a")
    assert not Path("/made-here").exists()
    assert not list((ran.home / "workspaces" / "r" / "taskruns").iterdir())


@pytest.mark.usefixtures("namespaces")
def test_volumes_of_every_kind_are_mounted_where_the_step_says(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        """
volumes:
- {name: empty, emptyDir: {}}
- {name: conf, configMap: {name: settings, items: [{key: color, path: deep/color}]}}
- {name: sec, secret: {secretName: login, defaultMode: 256}}
- {name: both, projected: {sources: [{secret: {name: login}}, {configMap: {name: settings}}]}}
- {name: claim, persistentVolumeClaim: {claimName: kept}}
steps:
- name: look
  image: bash
  env:
  - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
  envFrom: [{prefix: L_, secretRef: {name: login}}]
  volumeMounts:
  - {name: empty, mountPath: /var/deep/empty}
  - {name: conf, mountPath: /conf}
  - {name: sec, mountPath: /var/sec}
  - {name: both, mountPath: /both}
  - {name: both, mountPath: /size, subPath: size}
  - {name: claim, mountPath: /claim, subPath: part}
  script: |
    set -x
    [[ $(cat /conf/deep/color) == blue && $COLOR == blue && $L_password == s3cret ]]
    [[ $(cat /var/sec/username) == ann && $(stat -c %a /var/sec/username) == 400 ]]
    [[ $(cat /both/password /both/size) == s3cret7 && $(cat /size) == 7 ]]
    ! touch /conf/x
    echo kept > /claim/f
    echo some > /var/deep/empty/f
- name: again
  image: bash
  volumeMounts: [{name: empty, mountPath: /other, readOnly: true}]
  script: |
    [[ $(cat /other/f) == some ]]
    ! touch /other/g
""",
    )
    assert ran.condition["status"] == "True", _log(ran, "look")
    assert (ran.home / "volumes" / "kept" / "part" / "f").read_text() == "kept\n"


@pytest.mark.usefixtures("namespaces")
def test_isolated_and_read_only_workspaces_stand_at_their_mount_paths(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        """
workspaces: [{name: w, mountPath: /my/w}, {name: only}, {name: ro, readOnly: true}]
steps:
- name: a
  image: bash
  workspaces: [{name: only, mountPath: /here}]
  script: |
    [[ $(workspaces.w.path) == /my/w && $(workspaces.only.path) == /here ]]
    touch /my/w/f /here/f
    ! touch $(workspaces.ro.path)/f
- {name: b, image: bash, script: "[[ -e /my/w/f && ! -e $(workspaces.only.path) ]]"}
""",
        extra="  workspaces: [{name: w, emptyDir: {}}, {name: only, emptyDir: {}},"
        " {name: ro, emptyDir: {}}]\n",
    )
    assert ran.condition["status"] == "True", _log(ran, "a") + _log(ran, "b")


@pytest.mark.usefixtures("namespaces")
def test_a_step_runs_as_the_user_it_names_else_the_pod_s(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        """
steps:
- {name: pods, image: bash, script: "[[ $(id -u) == 1001 ]]; echo x > /workspace/f"}
- name: own
  image: bash
  securityContext: {runAsUser: 2000}
  script: "[[ $(id -u) == 2000 ]]; echo y > /workspace/g"
""",
        extra="  podTemplate: {securityContext: {runAsUser: 1001}}\n",
    )
    assert ran.condition["status"] == "True", _log(ran, "pods")


def test_a_service_account_s_secrets_become_git_credentials(tmp_path: Path) -> None:
    script = "cat $HOME/.git-credentials $(credentials.path)/.gitconfig; test ! -d $HOME/.ssh"
    ran = _run(tmp_path, _steps(a=script), extra="  serviceAccountName: builder\n")
    assert ran.condition["status"] == "True"
    assert "https://ann:s3cret@git.example\n" in _log(ran, "a")
    assert "helper = store" in _log(ran, "a")


def test_a_step_action_takes_params_and_gives_results(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        """
params: [{name: whom, default: world}]
results: [{name: said, value: $(steps.g.results.said)}]
steps:
- {name: g, ref: {name: greet}, params: [{name: whom, value: $(params.whom)}]}
- {name: check, image: bash, args: [$(steps.g.results.said)], script: '[[ $1 == "hello world" ]]'}
""",
    )
    assert ran.condition["status"] == "True", _log(ran, "check")
    assert ran.results == {"said": "hello world"}


def test_an_unknown_step_action_fails_the_run_by_name(tmp_path: Path) -> None:
    ran = _run(tmp_path, "steps: [{name: g, ref: {name: absent}}]")
    assert ran.condition["reason"] == "TaskRunResolutionFailed"
    assert ran.condition["message"] == (
        'failed to resolve step ref for step "g" (index 0): TaskRun r: spec.steps[0].ref.name:'
        " got 'absent', expected the name of a StepAction"
    )


@pytest.mark.usefixtures("namespaces")
def test_a_sidecar_lives_as_long_as_the_steps_and_is_ready_before_them(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        """
workspaces: [{name: w}]
sidecars:
- name: helper
  image: bash
  readinessProbe: {exec: {command: [test, -e, /workspace/w/ready]}, periodSeconds: 1}
  script: |
    sleep 0.3; touch $(workspaces.w.path)/ready; echo up; exec sleep 300
steps:
- {name: s, image: bash, script: "test -e $(workspaces.w.path)/ready"}
""",
        extra="  workspaces: [{name: w, emptyDir: {}}]\n",
    )
    assert ran.condition["status"] == "True"
    assert ran.status["sidecars"][0]["name"] == "helper"
    assert ran.status["sidecars"][0]["terminated"]["exitCode"] == 0
    assert _log(ran, "sidecar-helper") == "up\n"


def test_output_goes_to_the_files_a_step_names_and_to_its_log(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        """
results: [{name: out}, {name: both}]
steps:
- {name: a, image: bash, script: "printf hi", stdoutConfig: {path: $(results.out.path)}}
- name: b
  image: bash
  onError: continue
  script: "printf one; printf two >&2; exit 3"
  stdoutConfig: {path: $(results.both.path)}
  stderrConfig: {path: $(results.both.path)}
""",
    )
    assert ran.results["out"] == _log(ran, "a") == "hi"
    assert sorted(ran.results["both"]) == sorted("onetwo")


def test_a_failed_step_is_told_in_tekton_s_words(tmp_path: Path) -> None:
    ran = _run(tmp_path, _steps(a="exit 3"))
    assert ran.condition["reason"] == "StepFailed"
    assert ran.condition["message"] == '"step-a" exited with code 3: Error'


def test_artifacts_are_recorded_and_can_be_referred_to(tmp_path: Path) -> None:
    made = '{"outputs":[{"name":"image","values":[{"uri":"pkg:x","digest":{"sha256":"ab"}}]}]}'
    ran = _run(
        tmp_path,
        _steps(
            make=f"echo '{made}' > $(step.artifacts.path)",
            use="echo '$(steps.make.outputs.image)'",
        ),
    )
    assert _log(ran, "use") == '[{"uri":"pkg:x","digest":{"sha256":"ab"}}]\n'
    assert ran.status["artifacts"]["outputs"][0]["name"] == "image"


_ENTRYPOINTS = [
    ("bash@sha256:ab", ["echo", "hi"], "hi\n"),
    ("mirror.gcr.io/bash", ["-c", "echo hi"], "hi\n"),
    ("docker.io/library/busybox:1", ["-c", "[[ a == a ]] && echo hi"], "hi\n"),
    ("python:3.12", ["-c", "print(1)"], "1\n"),
]


@pytest.mark.parametrize(("image", "args", "said"), _ENTRYPOINTS)
def test_an_image_s_entrypoint_takes_the_arguments(
    tmp_path: Path, image: str, args: list[str], said: str
) -> None:
    ran = _run(tmp_path, f"steps: [{{name: a, image: '{image}', args: {args}}}]")
    assert _log(ran, "a") == said


def test_without_namespaces_paths_are_this_machine_s_and_mounts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "off")
    ran = _run(tmp_path, _steps(a="echo $HOME; test $(workspaces.w.path) != /workspace/w"),
               extra="  workspaces: [{name: w, emptyDir: {}}]\n")  # fmt: skip
    assert ran.condition["status"] == "True"
    assert str(ran.home) in _log(ran, "a")
    mounting = "volumes: [{name: v}]\nsteps:\n- {name: a, image: bash, script: ':',"
    ran = _run(tmp_path / "2", mounting + " volumeMounts: [{name: v, mountPath: /v}]}")
    assert ran.condition["reason"] == "TaskRunValidationFailed"
    assert "cannot have mounts of their own" in ran.condition["message"]


_FIELDS = {
    "metadata.name": "r-pod", "metadata.namespace": "default", "metadata.labels['team']": "vision",
    "metadata.labels['tekton.dev/taskRun']": "r", "metadata.annotations['note']": "a b",
    "metadata.labels['absent']": "", "spec.serviceAccountName": "builder",
    "status.podIP": "127.0.0.1", "status.hostIP": "127.0.0.1",
    "spec.nodeName": socket.gethostname(),
}  # fmt: skip


def test_a_step_reads_the_fields_its_pod_would_have(tmp_path: Path) -> None:
    entries = ", ".join(
        f'{{name: F{i}, valueFrom: {{fieldRef: {{fieldPath: "{path}"}}}}}}'
        for i, path in enumerate(_FIELDS)
    )
    script = "; ".join(f'echo "$F{i}"' for i in range(len(_FIELDS)))
    ran = _run(
        tmp_path,
        f"steps: [{{name: a, env: [{entries}], script: '{script}'}}]",
        extra="  serviceAccountName: builder\n",
        metadata=", labels: {team: vision}, annotations: {note: a b}",
    )
    assert _log(ran, "a").splitlines() == list(_FIELDS.values())


@pytest.mark.usefixtures("namespaces")
def test_a_downward_volume_holds_the_fields_its_pod_would_have(tmp_path: Path) -> None:
    source = (
        "downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}},"
        " {path: deep/uid, mode: 256, fieldRef: {fieldPath: metadata.uid}}]}"
    )
    ran = _run(
        tmp_path,
        f"volumes: [{{name: v, {source}}}, {{name: w, projected: {{sources: [{{{source}}}]}}}}]\n"
        "steps:\n- name: a\n"
        "  volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w}]\n"
        "  script: cat /v/labels; cmp /v/deep/uid /w/deep/uid && stat -c %a /v/deep/uid",
        metadata=", labels: {team: vision}",
    )
    assert 'team="vision"\n' in _log(ran, "a")
    assert _log(ran, "a").endswith("400\n")


def test_a_field_that_no_container_may_read_is_refused_by_name(tmp_path: Path) -> None:
    env = "[{name: F, valueFrom: {fieldRef: {fieldPath: spec.volumes}}}]"
    ran = _run(tmp_path, f"steps: [{{name: a, env: {env}, script: ':'}}]")
    assert ran.condition["reason"] == "TaskRunValidationFailed"
    assert "fieldRef: got 'spec.volumes', expected one of metadata.name" in ran.condition["message"]


_WRONG = {
    "volume-nobody-declared": ("got a mount of the volume 'v'", "[{name: v, mountPath: /v}]", "[]"),
    "absent-secret": (
        "got no secret 'absent'", "[]", "[{name: v, secret: {secretName: absent}}]",
    ),
    "absent-key": (
        "got no key 'no'", "[]",
        "[{name: v, configMap: {name: settings, items: [{key: no, path: p}]}}]",
    ),
    "sub-path-outside": (
        "expected one inside the volume",
        "[{name: v, mountPath: /v, subPath: ../../x}]", "[{name: v}]",
    ),
    "item-outside": (
        "expected one inside the volume", "[]",
        "[{name: v, configMap: {name: settings, items: [{key: color, path: ../../../p}]}}]",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(("message", "mounts", "volumes"), _WRONG.values(), ids=_WRONG)
def test_a_wrong_volume_fails_the_run_and_leaves_no_secret_behind(
    tmp_path: Path, message: str, mounts: str, volumes: str
) -> None:
    ran = _run(
        tmp_path,
        f"volumes: {volumes}\nsteps:\n- {{name: a, script: ':', volumeMounts: {mounts}}}",
    )
    assert ran.condition["reason"] == "TaskRunValidationFailed"
    assert message in ran.condition["message"]
    assert not list((ran.home / "workspaces" / "r" / "taskruns").iterdir())


def test_a_secret_that_is_not_base64_is_refused_with_its_place() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {key: '?'}\n"
    with pytest.raises(ManifestError, match=r"s.yaml:4:8: data.key: got a value that is not"):
        collect(load_text(text, "s.yaml"))


def test_a_foreign_kind_beside_the_run_is_ignored_and_said(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\n---\n"
        "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: r}\n"
        "spec: {taskSpec: {steps: [{name: a, script: 'exit 0'}]}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "touchstone", "run", "-f", str(file)],
        env={**os.environ, "TOUCHSTONE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"{file}:1:1: ignored, nothing here reads a Role" in done.stderr


@pytest.mark.usefixtures("namespaces")
def test_a_sub_path_that_is_exchanged_at_the_last_moment_is_not_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Pod.mounts

    def exchanged(*arguments: Any, **options: Any) -> Any:
        found = chosen(*arguments, **options)
        part = tmp_path / "home" / "volumes" / "shared" / "sub"
        part.rmdir()
        part.symlink_to("../../..")
        return found

    (tmp_path / "private.pem").write_text("secret")
    monkeypatch.setattr(Pod, "mounts", exchanged)
    ran = run_text(
        """apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: r}
spec:
  workspaces: [{name: w, subPath: sub, persistentVolumeClaim: {claimName: shared}}]
  taskSpec:
    workspaces: [{name: w}]
    steps: [{name: a, image: bash, script: cat $(workspaces.w.path)/private.pem}]
""",
        tmp_path / "home",
    )
    assert ran.condition["message"] == '"step-a" exited with code 1: Error'
    assert "something else took its volume's place" in _log(ran, "a")
