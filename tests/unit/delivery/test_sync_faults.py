"""What one folder holds, or the machine lacks for a while, keeps nothing else from being served."""

import errno
import shutil
from pathlib import Path

import pytest
from delivery_platform import Shelf

from touchstone.artifacts.store import Store
from touchstone.delivery import sync
from touchstone.delivery.sync import Sync

FOLDER = "environments/staging/tiny"
EVIL = "environments/staging/evil"


@pytest.fixture
def serving():
    return Shelf()


@pytest.fixture
def syncing(platform, serving):
    branch = platform.promote().branch
    platform.approve(branch)
    return Sync(
        platform.gitops, store=platform.store, public_key=platform.keys.public, serving=serving
    )


def told(events):
    return [(event.model, str(event.outcome)) for event in events]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("release.json", b"[" * 200_000),
        ("release.json", b"\xff\xfe"),
        ("release.json", b'{"a": ' + b"9" * 10_000 + b"}"),
        ("release.json", b"null"),
        ("attestation.intoto.jsonl", b"{" * 100_000),
        ("deep/er/release.json", b"{}"),
        ("a\nb", b""),
        ("-rf", b""),
    ],
    ids=["nested", "bytes", "number", "null", "attestation", "folder", "newline", "option"],
)
def test_a_folder_of_any_content_is_refused_and_the_others_are_served(
    platform, syncing, serving, name, data
):
    platform.change("main", f"{EVIL}/{name}", data)
    if name.startswith("attestation"):
        platform.change("main", f"{EVIL}/release.json", b"{}")
    assert sorted(told(syncing.step())) == [("evil", "refused"), ("tiny", "served")]
    assert syncing.step() == []
    assert list(serving.versions) == [("staging", "tiny")]


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError(errno.ENOSPC, "full"), KeyError("k")])
def test_a_model_that_cannot_be_served_keeps_no_other_from_it(platform, serving, syncing, error):
    serving.broken["tiny"] = error
    assert told(syncing.step()) == [("tiny", "failed")]
    assert syncing.step() == [], "told once, and tried again later"


def test_a_full_disk_while_verifying_refuses_nothing_and_is_tried_again(
    syncing, serving, monkeypatch
):
    get = Store.get

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "get", full)
    assert told(syncing.step()) == [("-", "failed")]
    assert syncing.step() == [], "told once"
    monkeypatch.setattr(Store, "get", get)
    assert told(syncing.step()) == [("tiny", "served")]


def test_an_artifact_that_was_not_there_yet_is_looked_for_again(
    platform, syncing, serving, monkeypatch
):
    blobs = platform.store.root / "blobs"
    shutil.move(blobs, blobs.with_name("away"))
    assert told(syncing.step()) == [("tiny", "refused")]
    shutil.move(blobs.with_name("away"), blobs)
    assert syncing.step() == [], "not at every step: a clone costs"
    monkeypatch.setattr(sync, "_RETRY_SECONDS", 0)
    syncing._again = 0
    assert told(syncing.step()) == [("tiny", "served")]


def test_while_main_cannot_be_read_a_server_that_ended_is_started_again(platform, syncing, serving):
    syncing.step()
    Path(platform.gitops).rename(f"{platform.gitops}.away")
    serving.versions.clear()
    assert sorted(told(syncing.step())) == [("-", "failed"), ("tiny", "restarted")]
    assert syncing.step() == []
    Path(f"{platform.gitops}.away").rename(platform.gitops)
    assert syncing.step() == []
