"""Who made this model, and did it pass? in-toto Statements signed as DSSE envelopes.

An attestation file is JSON Lines: one envelope a line, each around one in-toto v1 Statement.
Every Statement has the model's tree digest and release.json's digest as subjects, so neither can
be exchanged without breaking the signature. A reviewer's decision is signed in the same form by a
key of the reviewer's own: touchstone.delivery.decisions.
"""

from __future__ import annotations

import base64
import binascii
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
KEY_PREFIX = "ed25519:"
_KEY_BYTES = 32


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
    """An in-toto v1 Statement; `subjects` maps a name to `sha256:…` or to a git commit."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": _digest(value)} for name, value in subjects.items()],
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
    configuration: Mapping[str, str],
) -> dict[str, Any]:
    """in-toto test-result v0.1: names of checks, and digests of what they were judged by."""
    predicate = {
        "result": "PASSED" if passed and not failed else "FAILED",
        "configuration": configured(configuration),
        "passedTests": list(passed),
        "failedTests": list(failed),
    }
    return statement(TEST_RESULT, predicate, subjects)


def configured(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """The digests as a test result names them."""
    return [{"name": name, "digest": _digest(value)} for name, value in digests.items()]


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
        ManifestError: the key file holds no ed25519 key.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    trusted = key_text(public_key)
    documents = [
        _opened(line, f"attestation line {number}", trusted) for number, line in enumerate(lines, 1)
    ]
    found = [document.get("predicateType") for document in documents]
    missing = [predicate for predicate in REQUIRED if predicate not in found]
    if missing:
        raise TouchstoneError(
            f"attestation: got predicates {found}, expected also {missing}",
            hint="promote the model again; an attestation is never written by hand",
        )
    for document in documents:
        check_subjects(document, subjects)
        result = document["predicate"].get("result")
        if document["predicateType"] == TEST_RESULT and result != "PASSED":
            raise TouchstoneError(f"attestation: got test result {result!r}, expected 'PASSED'")
    return documents


def key_text(path: Path) -> str:
    """The public key as people.yaml names it, `ed25519:<base64>`; of a private key its own.

    Raises:
        ManifestError: the file holds no ed25519 key.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = _public_key(path).public_bytes(Encoding.Raw, PublicFormat.Raw)
    return KEY_PREFIX + base64.b64encode(raw).decode()


def normal_key(text: str) -> str:
    """The one spelling of a key: base64 has several of the same bytes.

    Raises:
        ValueError: it is none, in words.
    """
    try:
        raw = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not text.startswith(KEY_PREFIX) or len(raw) != _KEY_BYTES:
        raise ValueError(f"a public key such as {KEY_PREFIX}<44 characters of base64>")
    return KEY_PREFIX + base64.b64encode(raw).decode()


def signer(line: str, keys: Iterable[str]) -> tuple[dict[str, Any], str]:
    """The Statement of one envelope, and which of `keys` (see `key_text`) signed it.

    Raises:
        TouchstoneError: it is no envelope, or none of the keys signed it.
    """
    from securesystemslib.exceptions import VerificationError

    envelope = _envelope(line)
    known = {_keyid(key): key for key in keys}
    named = [known[keyid] for keyid in envelope.signatures if keyid in known]
    if not named:
        raise TouchstoneError("it is signed by no key that is named")
    try:
        envelope.verify([_verifier(named[0])], 1)
    except VerificationError:
        raise TouchstoneError(f"its signature by {named[0]} does not verify") from None
    return _statement_in(envelope), named[0]


def _opened(line: str, what: str, trusted: str) -> dict[str, Any]:
    from securesystemslib.exceptions import VerificationError

    try:
        envelope = _envelope(line)
        envelope.verify([_verifier(trusted)], 1)
        return _statement_in(envelope)
    except VerificationError:
        raise TouchstoneError(
            f"{what}: got a signature by {sorted(envelope.signatures)} that does not verify,"
            f" expected one by the trusted key {_keyid(trusted)}",
            hint="the release was changed after signing, or signed by another key than the"
            " platform's",
        ) from None
    except TouchstoneError as error:
        raise TouchstoneError(f"{what}: {error}") from None


def _envelope(line: str) -> Any:
    from securesystemslib.dsse import Envelope

    try:
        envelope = Envelope.from_dict(json.loads(line))
    except Exception as error:  # the parser raises whatever a malformed document provokes
        raise TouchstoneError(f"not a DSSE envelope ({type(error).__name__}: {error})") from None
    if envelope.payload_type != PAYLOAD_TYPE:
        raise TouchstoneError(
            f"got payload type {envelope.payload_type!r}, expected {PAYLOAD_TYPE!r}"
        )
    return envelope


def _statement_in(envelope: Any) -> dict[str, Any]:
    document = json.loads(envelope.payload)
    if not isinstance(document, dict) or document.get("_type") != STATEMENT:
        raise TouchstoneError("expected an in-toto v1 Statement")
    return document


def _verifier(key: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # no __all__

    raw = base64.b64decode(key.removeprefix(KEY_PREFIX))
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))


def _keyid(key: str) -> str:
    keyid: str = _verifier(key).keyid
    return keyid


def check_subjects(document: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    """Raise TouchstoneError where the Statement is not about all of `expected`."""
    got = {subject["name"]: subject["digest"] for subject in document["subject"]}
    for name, value in expected.items():
        if got.get(name) != _digest(value):
            told = ":".join(next(iter(got.get(name, {}).items()), ("nothing",)))
            raise TouchstoneError(
                f"attestation of {name}: got {told}, expected {value}",
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

    if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
        return _private_key(path).public_key()
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
