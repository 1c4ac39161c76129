"""Signatures: made as GitHub documents them, and refused whenever anything differs."""

import pytest

from touchstone.events import signature

# From GitHub's page on validating webhook deliveries.
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_signature_equals_the_one_in_githubs_documentation():
    assert signature.sign(BODY, SECRET) == SIGNATURE
    assert signature.problem(SIGNATURE, BODY, SECRET) == ""


@pytest.mark.parametrize(
    ("header", "body", "secret", "reason"),
    [
        (None, BODY, SECRET, "no x-hub-signature-256"),
        ("", BODY, SECRET, "no x-hub-signature-256"),
        (SIGNATURE, BODY + b" ", SECRET, "signature check failed"),
        (SIGNATURE, BODY, b"another", "signature check failed"),
        (SIGNATURE.removeprefix("sha256="), BODY, SECRET, "signature check failed"),
        ("sha1=" + "0" * 40, BODY, SECRET, "signature check failed"),
        ("sha256=é", BODY, SECRET, "signature check failed"),
    ],
)
def test_anything_but_the_right_signature_is_refused(header, body, secret, reason):
    assert reason in signature.problem(header, body, secret)


def test_an_empty_secret_is_an_error_because_anyone_could_sign():
    with pytest.raises(ValueError, match="empty webhook secret"):
        signature.problem(SIGNATURE, BODY, b"")
