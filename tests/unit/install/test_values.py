"""touchstone-install.yaml: what it takes, and what it says to what it does not take."""

from __future__ import annotations

import pytest

from touchstone.errors import ManifestError
from touchstone.install import values

WHOLE = """\
apiVersion: touchstone.dev/v1
kind: Installation
spec:
  registry: registry.acme.dev/models
  gitops: https://git.acme.dev/platform/gitops.git
  overlay: s3
  store: s3://models/touchstone
  environments: [staging, production]
  reviewers: ["github:Ada"]
"""


def read(tmp_path, text):
    file = tmp_path / values.FILE
    file.write_text(text)
    return values.read(file)


def test_what_is_written_is_what_was_read(tmp_path):
    found = read(tmp_path, WHOLE)
    assert read(tmp_path, found.text()) == found
    assert found.reviewers == ("github:ada",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  overlay: s3\n", "  overlay: s4\n", ":6:3: spec.overlay: got 's4', expected"),
        (
            "s3://models/touchstone",
            "ftp://x",
            ":7:3: spec.store: got 'ftp://x', expected a bucket",
        ),
        ("  store: s3://models/touchstone\n", "", "expected a store"),
        ("  overlay: s3\n", "  overlay: minimal\n", "expected no store with the overlay minimal"),
        ("https://git", "https://ada:secret@git", "without a password"),
        ("registry.acme.dev/models", "https://registry.acme.dev", "without https://"),
        ("[staging, production]", "[touchstone]", "which is where runs live"),
        ("  registry: registry.acme.dev/models\n", "", "spec.registry is missing"),
        ("  environments", "  enviroments", "unknown key spec.enviroments"),
        ("Ada", "A da", "spec.reviewers.0"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_what_was_expected(tmp_path, old, new, said):
    with pytest.raises(ManifestError) as refused:
        read(tmp_path, WHOLE.replace(old, new))
    assert said in str(refused.value)
    assert "secret" not in str(refused.value).replace("a Secret", "")
    assert "install-on-a-cluster.md" in refused.value.hint


def test_an_option_counts_more_than_the_file(tmp_path):
    found = values.given({"namespace": "ml"}, read(tmp_path, WHOLE))
    assert (found.namespace, found.store) == ("ml", "s3://models/touchstone")
    with pytest.raises(ManifestError, match="^--forge: "):
        values.given({"forge": "sourceforge"}, found)
