"""Keys are drawn once and never replaced; credentials come from a folder and stay out of files."""

from __future__ import annotations

import base64

import pytest

from touchstone.delivery.attestation import key_text
from touchstone.errors import UsageError
from touchstone.install import overlay, secrets, values

SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "touchstone"}}


@pytest.fixture(autouse=True)
def namespaces(cluster):
    for name in ("touchstone", "team"):
        cluster.put({**SPACE, "metadata": {"name": name}})


def data(cluster, name, namespace="touchstone"):
    found = cluster.find("Secret", name, namespace)
    return {key: base64.b64decode(one) for key, one in found["data"].items()}


def test_a_key_is_drawn_once_and_kept_ever_after(cluster, known, tmp_path):
    first = secrets.ensure(cluster.api, ["touchstone"], known, None)
    assert first.drawn == [
        "touchstone/touchstone-signing-key",
        "touchstone/touchstone-recording-key",
        "touchstone/touchstone-webhook",
    ]
    key = data(cluster, "touchstone-signing-key")
    again = secrets.ensure(cluster.api, ["touchstone"], known, None)
    assert (again.drawn, again.kept) == ([], first.drawn)
    assert data(cluster, "touchstone-signing-key") == key
    for name, content in key.items():
        (tmp_path / name).write_bytes(content)
    assert key_text(tmp_path / "public.pem") == key_text(tmp_path / "private.pem")


def test_credentials_come_from_a_folder_and_new_ones_replace_old_ones(cluster, known, tmp_path):
    own = tmp_path / "touchstone-git-push"
    own.mkdir()
    (own / "username").write_text("robot\n")
    with pytest.raises(UsageError, match="expected password too"):
        secrets.ensure(cluster.api, ["touchstone"], known, tmp_path)
    for password in ("one\n", "two\n"):
        (own / "password").write_text(password)
        done = secrets.ensure(cluster.api, ["touchstone"], known, tmp_path)
        assert done.given == ["touchstone/touchstone-git-push"]
    found = cluster.find("Secret", "touchstone-git-push", "touchstone")
    assert found["metadata"]["annotations"] == {"tekton.dev/git-0": "https://git.acme.dev"}
    assert data(cluster, "touchstone-git-push") == {"username": b"robot", "password": b"two"}


def test_what_nobody_gave_is_named_with_the_command_that_makes_it(cluster, known):
    done = secrets.ensure(cluster.api, ["touchstone"], known, None)
    absent = {one.name: one.command(where) for where, one in done.absent}
    assert absent["touchstone-registry"].endswith("--from-file=.dockerconfigjson=FILE")


def test_every_namespace_of_runs_has_keys_of_its_own_and_one_that_records(cluster, known):
    secrets.ensure(cluster.api, ["touchstone", "team"], known, None)
    names = ("touchstone-signing-key", "touchstone-webhook")
    assert all(data(cluster, one) != data(cluster, one, "team") for one in names)
    recording = data(cluster, "touchstone-recording-key")
    assert recording == data(cluster, "touchstone-recording-key", "team")
    assert secrets.recorder(cluster.api, ["team"]).startswith("ed25519:")


def test_git_over_ssh_is_opened_by_a_key():
    known = values.given({"registry": "r.dev/m", "gitops": "git@git.acme.dev:ops/gitops.git"})
    push = next(one for one in secrets.wanted(known) if one.name == secrets.PUSH)
    assert (push.type, push.git) == ("kubernetes.io/ssh-auth", "git.acme.dev")


def test_a_written_repository_holds_no_secret(cluster, known, tmp_path):
    secrets.ensure(cluster.api, ["touchstone"], known, None)
    written = "".join(one.read_text() for one in overlay.write(tmp_path / "platform", known))
    assert "PRIVATE KEY" not in written
    assert "kind: Secret\n" not in written
    for name in ("touchstone-webhook", "touchstone-signing-key"):
        for value in cluster.find("Secret", name, "touchstone")["data"].values():
            assert value not in written
