"""A model host answers as the model would in process, and harms nobody whatever its code does."""

import json

import numpy as np
import pytest
import torch
from hosted_models import BOXES, rows, tree

from touchstone.training.evasion.network import Activations
from touchstone.training.opened import open_model
from touchstone.training.spec import Batch
from trust_gates.errors import GateError
from trust_gates.explainability.sanity import _random_weights
from trust_gates.target import penultimate


def opened(folder, predict):
    return open_model(rows(folder, predict)[2])


def test_logits_gradients_and_what_lies_inside_are_the_networks_own(tmp_path):
    spec, module, folder = rows(tmp_path)
    hosted = open_model(folder)
    assert hosted.asked_as.startswith("confined by ")
    inputs = torch.rand(9, 4)
    ours, theirs = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    logits = hosted.spec.predict(hosted.module, ours)
    torch.testing.assert_close(logits, spec.predict(module, theirs))
    for column in range(3):  # the host keeps what gradients need as long as the answer lives
        (a,) = torch.autograd.grad(logits[:, column].sum(), ours, retain_graph=True)
        (b,) = torch.autograd.grad(module(theirs)[:, column].sum(), theirs)
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(
        penultimate(hosted.module, lambda: hosted.spec.predict(hosted.module, inputs)),
        penultimate(module, lambda: spec.predict(module, inputs)).detach(),
    )
    torch.testing.assert_close(
        Activations(hosted.module).of(lambda: hosted.spec.predict(hosted.module, inputs)),
        Activations(module).of(lambda: spec.predict(module, inputs)).detach(),
    )
    assert not hosted.spec.predict(hosted.module, inputs).requires_grad
    assert hosted.spec.predict(hosted.module, torch.rand(0, 4)).shape == (0, 3)


def test_weights_that_the_gate_changes_are_the_hosts_and_come_back(tmp_path):
    spec, module, folder = rows(tmp_path)
    hosted = open_model(folder)
    inputs = torch.rand(5, 4)
    before = hosted.spec.predict(hosted.module, inputs)
    with _random_weights(hosted.module, 1), _random_weights(module, 1):
        random = hosted.spec.predict(hosted.module, inputs)
        torch.testing.assert_close(random, spec.predict(module, inputs).detach())
    assert not torch.allclose(random, before)
    assert torch.equal(hosted.spec.predict(hosted.module, inputs), before)


def test_weights_can_be_trained_through_the_host(tmp_path):
    _, _, folder = rows(tmp_path)
    hosted = open_model(folder)
    inputs, labels = torch.rand(32, 4), torch.zeros(32, dtype=torch.int64)
    weights = [one.requires_grad_() for one in hosted.module.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(hosted.spec.predict(hosted.module, inputs), labels)
        loss.backward()
        optimizer.step()
    assert (hosted.spec.predict(hosted.module, inputs).argmax(1) == 0).all()


@pytest.mark.long
def test_a_detector_is_asked_through_a_host_too(tmp_path):
    spec, module, folder = tree(tmp_path, BOXES, shape=(1, 6, 6), task="detection")
    hosted = open_model(folder)
    images = torch.rand(5, 1, 6, 6)
    ours, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
    pairs = zip(hosted.spec.predict(hosted.module, ours), spec.predict(module, theirs), strict=True)
    scores = []
    for a, b in pairs:
        torch.testing.assert_close(a.boxes, b.boxes)
        torch.testing.assert_close(a.scores, b.scores)
        assert torch.equal(a.labels, b.labels)
        scores.append((a.scores.sum(), b.scores.sum()))
    for side in (0, 1):
        sum(one[side] for one in scores).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    batch = {"boxes": torch.rand(5, 2, 4), "box_labels": torch.zeros(5, 2, dtype=torch.int64)}
    torch.testing.assert_close(
        hosted.spec.loss(hosted.module, Batch(inputs=images, **batch)),
        spec.loss(module, Batch(inputs=images, **batch)).detach(),
    )


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        ("return inputs.sum()", r"got predictions \(\) for 4 samples"),
        ("return module(inputs)[:2]", r"got predictions \(2, 3\) for 4 samples"),
        ("return [1, 2]", "got predictions list"),
        ("return module(inputs.double())", r"model\.py:\d+: RuntimeError"),
        ("raise SystemExit(0)", "gave no answer"),
        ("os._exit(0)", "gave no answer"),
        ("os.kill(os.getpid(), 9)", "gave no answer"),
        (
            "os.close(3) if False else [os.close(n) for n in range(3, 4096) if n]",
            "gave no answer|failed",
        ),
    ],
)
def test_code_that_fails_or_leaves_is_the_gates_error(tmp_path, predict, said):
    _, _, folder = rows(tmp_path, "return module(inputs)")
    code = (folder / "code" / "model.py").read_text()
    (folder / "code" / "model.py").write_text(
        code.replace("return module(inputs)\n", f"{predict}\n")
    )
    hosted = open_model(folder)
    with pytest.raises(GateError, match=said):
        hosted.spec.predict(hosted.module, torch.rand(4, 4))


def test_code_that_cannot_be_loaded_is_named_with_its_line(tmp_path):
    _, _, folder = rows(tmp_path)
    code = (folder / "code" / "model.py").read_text()
    (folder / "code" / "model.py").write_text(code + "\nraise RuntimeError('not today')\n")
    with pytest.raises(
        GateError, match=r"cannot be loaded: model\.py:\d+: RuntimeError: not today"
    ):
        open_model(folder)


SPEAK = """\
import socket, json, struct, os
for n in range(3, 4096):
    try:
        s = socket.socket(fileno=os.dup(n))
        body = json.dumps({message}).encode() if not isinstance({message}, bytes) else {message}
        s.sendall(struct.pack("!I", {length}) + body)
    except OSError:
        pass
return module(inputs)"""


@pytest.mark.parametrize(
    ("message", "length"),
    [
        ("b'x' * 8", "8"),
        ("b''", "0xffffffff"),
        ("{'tensors': [['float32', [1 << 40], 0]]}", "len(body)"),
        ("{'tensors': [['float32', [-1], 0]]}", "len(body)"),
        ("{'tensors': [['float32', [4, 3], 1 << 60]]}", "len(body)"),
        ("{'tensors': [['float32', [4, 3], 4]]}", "len(body)"),
        ("{'tensors': [['object', [4, 3], 0]]}", "len(body)"),
        ("{'tensors': [['float32', [True], 0]]}", "len(body)"),
        ("{'tensors': 5}", "len(body)"),
        ("[1, 2]", "len(body)"),
        ("b'[' * 100000", "100000"),
    ],
)
def test_words_that_were_not_agreed_on_are_refused(tmp_path, message, length):
    predict = SPEAK.format(message=message, length=length)
    _, _, folder = rows(tmp_path)
    code = (folder / "code" / "model.py").read_text()
    lines = f"\n{' ' * 8}".join(predict.splitlines())
    (folder / "code" / "model.py").write_text(code.replace("return module(inputs)\n", f"{lines}\n"))
    hosted = open_model(folder)
    with pytest.raises(GateError, match="does not fit|at most|gave no answer"):
        hosted.spec.predict(hosted.module, torch.rand(4, 4))


def test_a_host_cannot_change_what_it_was_asked_about_or_pull_the_memory_away(tmp_path):
    predict = (
        "import mmap\n"
        "inputs.zero_()\n"
        "for n in range(3, 4096):\n"
        "    try:\n"
        "        os.ftruncate(n, 0)\n"
        "    except OSError:\n"
        "        pass\n"
        "return module(inputs)"
    )
    _, _, folder = rows(tmp_path)
    code = (folder / "code" / "model.py").read_text()
    lines = f"\n{' ' * 8}".join(predict.splitlines())
    (folder / "code" / "model.py").write_text(code.replace("return module(inputs)\n", f"{lines}\n"))
    hosted = open_model(folder)
    inputs = torch.rand(4, 4)
    given = inputs.clone()
    hosted.spec.predict(hosted.module, inputs)
    assert torch.equal(inputs, given)
    assert hosted.spec.predict(hosted.module, inputs).shape == (4, 3)


def test_what_a_host_prints_goes_nowhere_unless_it_fails(tmp_path, capfd):
    _, _, folder = rows(tmp_path)
    code = (folder / "code" / "model.py").read_text()
    (folder / "code" / "model.py").write_text("print('ok: accuracy: got 1')\n" + code)
    hosted = open_model(folder)
    hosted.spec.predict(hosted.module, torch.rand(4, 4))
    assert capfd.readouterr() == ("", "")


def test_a_tree_in_a_folder_of_ones_own_is_enough_for_a_host(tmp_path):
    """It sees a copy of the tree: nobody can exchange what is judged while it is judged."""
    _, _, folder = rows(tmp_path)
    hosted = open_model(folder)
    (folder / "code" / "model.py").write_text("raise SystemExit")
    found = hosted.spec.predict(hosted.module, torch.rand(4, 4))
    assert np.isfinite(found.numpy()).all()
    assert json.loads((folder / "model.json").read_text())["graph"]["written"] is True
