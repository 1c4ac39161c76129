"""A training goes on from its own checkpoint alone, and loads nothing of any other."""

import hashlib
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from defended import dataset, rows_arrays, rows_net

from touchstone.artifacts.store import digest_bytes
from touchstone.training.checkpoint import Checkpoint, RefusedError
from touchstone.training.trainer import TrainConfig, train
from trust_gates.progress import is_told

DATA = dataset(rows_arrays, (128, 20, 20))
CONFIG = TrainConfig(epochs=2, batch_size=64)
STATE = bytes(range(256)) * 20


@pytest.fixture
def kept(tmp_path):
    return Checkpoint(path=tmp_path / "own" / "training", training=digest_bytes(b"this one"))


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_what_was_written_is_read_and_nothing_where_nothing_was(kept):
    assert kept.read() is None
    for state in (STATE, b"", STATE[::-1]):
        kept.write(state)
        assert kept.read() == state
    assert [path.name for path in kept.path.parent.iterdir()] == ["training"]


def test_of_100_single_changed_bytes_none_is_taken(kept):
    kept.write(STATE)
    whole, chance = kept.path.read_bytes(), random.Random(11)
    for _ in range(100):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= chance.randrange(1, 256)
        kept.path.write_bytes(changed)
        with pytest.raises(RefusedError):
            kept.read()
    for length in [*range(0, 200, 7), len(whole) - 1]:
        kept.path.write_bytes(whole[:length])
        with pytest.raises(RefusedError):
            kept.read()
    kept.path.write_bytes(whole + b"\0")
    with pytest.raises(RefusedError, match=r"was cut or changed: got sha256:\w+, expected sha256:"):
        kept.read()


def test_that_of_another_training_or_of_another_part_is_refused_by_name(kept):
    other = Checkpoint(path=kept.path, training=digest_bytes(b"another"))
    before, after = kept.part("before"), kept.part("after")
    assert len({one.path for one in (kept, before, after)}) == 3
    for foreign in (other, before, after):
        foreign.write(STATE)
        foreign.path.rename(kept.path) if foreign.path != kept.path else None
        with pytest.raises(RefusedError, match=f"of the training {foreign.training}, expected"):
            kept.read()


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder", "device"])
def test_only_a_plain_file_is_opened(kept, tmp_path, kind):
    whole = Checkpoint(path=tmp_path / "whole", training=kept.training)
    whole.write(STATE)
    kept.path.parent.mkdir()
    match kind:
        case "link" | "dangling":
            kept.path.symlink_to(whole.path if kind == "link" else tmp_path / "absent")
        case "fifo":
            os.mkfifo(kept.path)
        case "folder":
            kept.path.mkdir()
        case "device":
            kept.path.symlink_to("/dev/zero")
    with pytest.raises(RefusedError, match=r"training: got a .*, expected a regular file"):
        kept.read()


def test_no_link_is_written_through(kept, tmp_path):
    kept.path.parent.mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    kept.path.symlink_to(target)
    kept.write(STATE)
    assert target.read_text() == "mine"
    assert kept.read() == STATE


@pytest.fixture
def undisturbed():
    torch.set_num_threads(1)
    return train(rows_net(), DATA, CONFIG)[0]


@pytest.mark.parametrize("planted", ["pickle", "torch", "foreign", "cut"])
def test_a_planted_checkpoint_is_told_of_and_changes_nothing(kept, tmp_path, undisturbed, planted):
    mark, kept_foreign = (
        tmp_path / "ran",
        Checkpoint(path=kept.path, training=digest_bytes(b"another")),
    )
    train(rows_net(), DATA, CONFIG.model_copy(update={"seed": 9}), checkpoint=kept_foreign)
    match planted:
        case "pickle":
            kept.path.write_bytes(pickle.dumps(Bomb(mark)))
        case "torch":
            torch.save({"module": Bomb(mark), "done": 2}, kept.path)
        case "cut":
            train(rows_net(), DATA, CONFIG.model_copy(update={"seed": 9}), checkpoint=kept)
            kept.path.write_bytes(kept.path.read_bytes()[:-100])
    said = []
    module, _ = train(rows_net(), DATA, CONFIG, checkpoint=kept, report=said.append)
    assert said[0].endswith("; the training starts from the beginning")
    assert [line.partition(" loss")[0] for line in said[1:]] == ["epoch 1/2", "epoch 2/2"]
    assert not mark.exists()
    for left, right in zip(undisturbed.parameters(), module.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_resumed_training_drops_out_what_an_undisturbed_one_does(kept):
    def net():
        spec = rows_net()
        build = spec.build
        spec.build = lambda given: torch.nn.Sequential(torch.nn.Dropout(0.5), build(given))
        return spec

    class Stop(Exception):  # noqa: N818
        pass

    def stop(line):
        raise Stop

    whole, _ = train(net(), DATA, CONFIG)
    with pytest.raises(Stop):
        train(net(), DATA, CONFIG, checkpoint=kept, report=stop)
    torch.manual_seed(1)  # as another process's generator would stand
    again, _ = train(net(), DATA, CONFIG, checkpoint=kept)
    for left, right in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(left, right)


def test_even_a_checkpoint_that_names_the_training_runs_no_code(kept, tmp_path):
    mark = tmp_path / "ran"
    for content in (pickle.dumps(Bomb(mark)), _saved({"module": Bomb(mark), "done": 2})):
        kept.write(content)
        with pytest.raises(pickle.UnpicklingError):
            train(rows_net(), DATA, CONFIG, checkpoint=kept)
    assert not mark.exists()


def _saved(state):
    import io

    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def test_the_digests_are_sha256_of_the_bytes(kept):
    kept.write(STATE)
    head = kept.path.read_bytes().partition(b"\n")[0].decode().split()
    content = "sha256:" + hashlib.sha256(STATE).hexdigest()
    assert head == ["touchstone-checkpoint-1", kept.training, content]


def test_what_training_tells_on_its_way_has_five_looks_at_the_validation_split():
    said = []
    config = CONFIG.model_copy(update={"epochs": 12})
    train(rows_net(), DATA, config, report=said.append)
    assert all(is_told(line) for line in said)
    looks = [number for number, line in enumerate(said, start=1) if "val_accuracy=" in line]
    assert looks == [3, 6, 9]  # the last one is what training ends with


def test_a_look_at_the_validation_split_changes_nothing_of_what_is_learned(
    undisturbed, monkeypatch
):
    def drawing(spec, module, *arguments, **options):
        torch.rand(1)
        return {"accuracy": 0.0}

    monkeypatch.setattr("touchstone.training.trainer._looks", lambda config, epoch: True)
    monkeypatch.setattr("touchstone.training.trainer.evaluate", drawing)
    module, _ = train(rows_net(), DATA, CONFIG)
    for left, right in zip(undisturbed.parameters(), module.parameters(), strict=True):
        assert torch.equal(left, right)
