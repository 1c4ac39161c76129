"""An attestation verifies exactly what was signed, by whom it was signed, and nothing else."""

import base64
import json

import pytest

from touchstone.artifacts.store import digest_bytes
from touchstone.delivery import attestation
from touchstone.errors import ManifestError, TouchstoneError

SUBJECTS = {"model": digest_bytes(b"model"), "release.json": digest_bytes(b"release")}


@pytest.fixture
def keys(tmp_path):
    return attestation.generate_keys(tmp_path / "keys")


def statements(subjects=SUBJECTS, failed=()):
    return [
        attestation.provenance(
            subjects,
            parameters={"model": "tiny"},
            materials={"git+file:///model.git": "a" * 40, "data": digest_bytes(b"data")},
            finished="2026-01-01T00:00:00Z",
        ),
        attestation.test_result(
            subjects,
            passed=["quality: accuracy"],
            failed=failed,
            configuration={"verdict": digest_bytes(b"v")},
        ),
    ]


def test_what_was_signed_verifies_and_comes_back(keys):
    text = attestation.sign(statements(), keys.private)
    assert attestation.verify(text, keys.public, subjects=SUBJECTS) == statements()
    assert len(text.splitlines()) == 2


def test_signing_twice_gives_the_same_bytes(keys):
    assert attestation.sign(statements(), keys.private) == attestation.sign(
        statements(), keys.private
    )


def test_the_private_key_is_readable_by_its_owner_alone_and_is_kept(keys):
    assert keys.private.stat().st_mode & 0o777 == 0o600
    before = keys.private.read_bytes()
    assert attestation.generate_keys(keys.private.parent) == keys
    assert keys.private.read_bytes() == before


def test_a_changed_payload_is_refused(keys):
    first, second = attestation.sign(statements(), keys.private).splitlines()
    envelope = json.loads(second)
    payload = base64.b64decode(envelope["payload"]).replace(b"accuracy", b"anything")
    envelope["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(TouchstoneError, match="line 2.*does not verify"):
        attestation.verify("\n".join([first, json.dumps(envelope)]), keys.public, subjects=SUBJECTS)


def test_another_key_is_refused(keys, tmp_path):
    other = attestation.generate_keys(tmp_path / "other")
    text = attestation.sign(statements(), other.private)
    with pytest.raises(TouchstoneError, match="trusted key"):
        attestation.verify(text, keys.public, subjects=SUBJECTS)


@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_an_attestation_of_another_subject_is_refused(keys, name):
    text = attestation.sign(statements(), keys.private)
    forged = SUBJECTS | {name: digest_bytes(b"forged")}
    with pytest.raises(TouchstoneError, match=f"attestation of {name}: got .*, expected"):
        attestation.verify(text, keys.public, subjects=forged)


def test_a_failed_test_result_is_refused(keys):
    text = attestation.sign(statements(failed=["fairness: theil"]), keys.private)
    with pytest.raises(TouchstoneError, match="got test result 'FAILED'"):
        attestation.verify(text, keys.public, subjects=SUBJECTS)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_missing_predicate_is_refused(keys, keep):
    text = attestation.sign(statements()[keep : keep + 1], keys.private)
    with pytest.raises(TouchstoneError, match="expected also"):
        attestation.verify(text, keys.public, subjects=SUBJECTS)


def test_nothing_at_all_is_refused(keys):
    with pytest.raises(TouchstoneError, match="expected also"):
        attestation.verify("", keys.public, subjects=SUBJECTS)


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"payload": 1}', "null"])
def test_a_line_that_is_no_envelope_is_refused(keys, line):
    with pytest.raises(TouchstoneError, match="line 1: not a DSSE envelope"):
        attestation.verify(line, keys.public, subjects=SUBJECTS)


def test_a_broken_key_is_named_but_never_quoted(tmp_path):
    path = tmp_path / "signing.key"
    path.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ManifestError, match="expected an ed25519 PEM file") as caught:
        attestation.sign(statements(), path)
    assert "c2VjcmV0" not in str(caught.value)
    with pytest.raises(ManifestError, match="got no private key"):
        attestation.sign(statements(), tmp_path / "absent")
