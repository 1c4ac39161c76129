"""A sample to try a served model with: one of those that its release was judged on."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.artifacts.store import Store
from touchstone.delivery import gitops
from touchstone.delivery import release as releases
from touchstone.delivery.declared import NAME, Declared
from touchstone.delivery.wire import WORDS
from touchstone.errors import UsageError
from trust_gates.inputs.description import TARGETS
from trust_gates.written import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One held-out sample, as the Open Inference Protocol asks for it."""

    inputs: list[Any]
    """Nested lists of numbers, of the shape of one sample."""
    shape: tuple[int, ...]
    truth: str
    """What it really is, in words."""
    classes: tuple[str, ...]
    datatype: str = "FP32"
    group: tuple[str, str] | None = None
    """The protected attribute and its value, where the model's fairness rule needs it."""

    def request(self) -> dict[str, Any]:
        """The body of a V2 infer request, one sample in a batch of one."""
        tensor = {"name": NAME, "datatype": self.datatype, "shape": [1, *self.shape]}
        inputs = [{**tensor, "data": self.inputs}]
        if self.group is not None:
            name, value = self.group
            inputs.append({"name": name, "datatype": WORDS, "shape": [1], "data": [value]})
        return {"inputs": inputs}


def held_out(url: str, store: Store, *, model: str, environment: str = "", index: int) -> Sample:
    """Sample `index` of the test split that the release on main was judged on.

    Raises:
        UsageError: there is no release of the model there, or no sample of that index.
        PlatformError: an artifact is absent from the store.
    """
    verdict = store.get_json(released(url, model, environment).digests.verdict)
    from touchstone.training import dataset
    from touchstone.training.mitigation.served import Served

    with tempfile.TemporaryDirectory() as folder:
        served = Served.read(store.get(verdict["model"], Path(folder) / "model"))
        data = dataset.read(
            store.get(verdict["dataset"], Path(folder) / "dataset"), splits=("test",)
        )
    arrays, description = data.splits["test"], data.description
    count = len(arrays["inputs"])
    if not 0 <= index < count:
        raise UsageError(f"got sample {index}, expected one from 0 to {count - 1}")
    group = None
    if served is not None and served.needs:
        value = description.protected[served.needs][arrays[f"protected_{served.needs}"][index]]
        group = (served.needs, value)
    truth = arrays[TARGETS[description.task][-1]][index].ravel()
    if description.task == "regression":
        words = number(float(truth[0]), 6)
    else:
        words = ", ".join(description.classes[label] for label in truth.tolist() if label >= 0)
    return Sample(
        inputs=arrays["inputs"][index].ravel().tolist(),
        shape=arrays["inputs"].shape[1:],
        truth=words,
        classes=description.classes,
        datatype=Declared.of(description.inputs).datatype,
        group=group,
    )


def released(url: str, model: str, environment: str = "") -> releases.Release:
    """The release of the model on main; of several environments' the first.

    Raises:
        UsageError: there is none.
    """
    with gitops.clone(url) as checkout:
        root = checkout.path / gitops.ENVIRONMENTS
        found = sorted(root.glob(f"{environment or '*'}/*/{releases.RELEASE_FILE}"))
        matching = [file for file in found if file.parent.name == model]
        if not matching:
            known = ", ".join(sorted({file.parent.name for file in found})) or "none"
            raise UsageError(
                f"got the model {model!r}, expected one that was merged ({known})",
                hint="touchstone review list shows what still waits",
            )
        return releases.parse(matching[0].read_bytes(), location=str(matching[0].name))
