"""Who made this model, and did it pass? in-toto Statements signed as DSSE envelopes.

An attestation file is JSON Lines: one envelope a line, each around one in-toto v1 Statement.
Every Statement has the model's tree digest and release.json's digest as subjects, so neither can
be exchanged without breaking the signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import ManifestError, TouchstoneError

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "https://touchstone.dev/build/pipeline/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
REQUIRED = (PROVENANCE, TEST_RESULT)
"""Predicates that every release carries; one missing fails verification."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM files of one ed25519 key; only `public` may leave the signer."""

    private: Path
    public: Path


def generate_keys(directory: Path) -> KeyPair:
    """Make an ed25519 key pair in `directory`; an existing pair is kept, never replaced."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pair = KeyPair(directory / "private.pem", directory / "public.pem")
    if pair.private.exists():
        key = _private_key(pair.private)
    else:
        directory.mkdir(parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pair.private.touch(mode=0o600, exist_ok=False)  # before a byte of the key is in it
        pair.private.write_bytes(pem)
    pair.public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return pair


def statement(
    predicate_type: str, predicate: Mapping[str, Any], subjects: Mapping[str, str]
) -> dict[str, Any]:
    """An in-toto v1 Statement; `subjects` maps a name to `sha256:…`."""
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
            for name, digest in subjects.items()
        ],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def provenance(
    subjects: Mapping[str, str],
    *,
    parameters: Mapping[str, Any],
    materials: Mapping[str, str],
    finished: str,
) -> dict[str, Any]:
    """SLSA provenance v1: `materials` maps a URI to the digest that the build read."""
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": dict(parameters),
            "internalParameters": {},
            "resolvedDependencies": [
                {"uri": uri, "digest": _digest(value)} for uri, value in materials.items()
            ],
        },
        "runDetails": {
            "builder": {"id": "https://touchstone.dev/builder/v1"},
            "metadata": {"finishedOn": finished},
        },
    }
    return statement(PROVENANCE, predicate, subjects)


def test_result(
    subjects: Mapping[str, str],
    *,
    passed: Sequence[str],
    failed: Sequence[str],
    verdict: str,
) -> dict[str, Any]:
    """in-toto test-result v0.1: names of checks, and the verdict's digest as configuration."""
    predicate = {
        "result": "PASSED" if passed and not failed else "FAILED",
        "configuration": [{"name": "verdict", "digest": _digest(verdict)}],
        "passedTests": list(passed),
        "failedTests": list(failed),
    }
    return statement(TEST_RESULT, predicate, subjects)


def sign(statements: Iterable[Mapping[str, Any]], key_path: Path) -> str:
    """Sign each Statement with the PEM ed25519 key; return one DSSE envelope a line.

    Raises:
        ManifestError: the key file is absent or not an ed25519 private key.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # no __all__

    signer = CryptoSigner(_private_key(key_path))
    lines = []
    for document in statements:
        payload = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        envelope = Envelope(payload.encode(), PAYLOAD_TYPE, {})
        envelope.sign(signer)
        lines.append(json.dumps(envelope.to_dict(), sort_keys=True))
    return "\n".join(lines) + "\n"


def verify(text: str, public_key: Path, *, subjects: Mapping[str, str]) -> list[dict[str, Any]]:
    """The Statements in `text`, once all of them are signed by the key and about `subjects`.

    `subjects` maps a subject's name to its `sha256:…` digest. All predicates in `REQUIRED` must
    be there, and the test result must be PASSED.

    Raises:
        TouchstoneError: anything is unsigned, forged, about something else, absent or failed.
        ManifestError: the public key is absent or not an ed25519 public key.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    documents = [_verified(line, number, public_key) for number, line in enumerate(lines, 1)]
    found = [document.get("predicateType") for document in documents]
    missing = [predicate for predicate in REQUIRED if predicate not in found]
    if missing:
        raise TouchstoneError(
            f"attestation: got predicates {found}, expected also {missing}",
            hint="promote the model again; an attestation is never written by hand",
        )
    for document in documents:
        _check_subjects(document, subjects)
        result = document["predicate"].get("result")
        if document["predicateType"] == TEST_RESULT and result != "PASSED":
            raise TouchstoneError(f"attestation: got test result {result!r}, expected 'PASSED'")
    return documents


def _verified(line: str, number: int, public_key: Path) -> dict[str, Any]:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # no __all__

    key = SSlibKey.from_crypto(_public_key(public_key))
    try:
        envelope = Envelope.from_dict(json.loads(line))
    except Exception as error:  # the parser raises whatever a malformed document provokes
        raise TouchstoneError(
            f"attestation line {number}: not a DSSE envelope ({type(error).__name__}: {error})"
        ) from None
    if envelope.payload_type != PAYLOAD_TYPE:
        raise TouchstoneError(
            f"attestation line {number}: got payload type {envelope.payload_type!r},"
            f" expected {PAYLOAD_TYPE!r}"
        )
    try:
        envelope.verify([key], 1)
    except VerificationError:
        raise TouchstoneError(
            f"attestation line {number}: got a signature by {sorted(envelope.signatures)} that"
            f" does not verify, expected one by the trusted key {key.keyid}",
            hint=f"the release was changed after signing, or signed by a key other than "
            f"{public_key}",
        ) from None
    document = json.loads(envelope.payload)
    if not isinstance(document, dict) or document.get("_type") != STATEMENT:
        raise TouchstoneError(f"attestation line {number}: expected an in-toto v1 Statement")
    return document


def _check_subjects(document: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    got = {
        subject["name"]: "sha256:" + subject["digest"].get("sha256", "")
        for subject in document["subject"]
    }
    for name, digest in expected.items():
        if got.get(name) != digest:
            raise TouchstoneError(
                f"attestation of {name}: got {got.get(name, 'nothing')}, expected {digest}",
                hint="the attestation belongs to another release, or the release was changed",
            )


def _digest(value: str) -> dict[str, str]:
    algorithm, separator, digits = value.partition(":")
    return {algorithm: digits} if separator else {"gitCommit": value}


def _private_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load(path, "private", lambda pem: load_pem_private_key(pem, password=None))
    return _of_type(key, Ed25519PrivateKey, path, "private")


def _public_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return _of_type(_load(path, "public", load_pem_public_key), Ed25519PublicKey, path, "public")


def _load(path: Path, kind: str, parse: Any) -> Any:
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        # The parser's message may quote the key, so only the kind of failure goes on.
        raise ManifestError(
            f"got no {kind} key ({type(error).__name__}), expected an ed25519 PEM file",
            location=str(path),
            hint="`touchstone up` makes a key pair; on a cluster mount the signing Secret",
        ) from None


def _of_type(key: Any, expected: type, path: Path, kind: str) -> Any:
    if not isinstance(key, expected):
        raise ManifestError(
            f"got a {type(key).__name__}, expected an ed25519 {kind} key", location=str(path)
        )
    return key
