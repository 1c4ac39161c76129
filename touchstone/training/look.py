"""What does the code of a model repository offer, seen without training anything?

It is imported; its class, data and network are looked at, and a few samples go through it once.
Run where the code may be run: `training/look.py` is started confined, and says what it saw in
lines of JSON, one when it knows something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.training import dataset, given, raised
from touchstone.training.dataset import Dataset
from touchstone.training.defences import from_json, wrap
from touchstone.training.estimator import EstimatorSpec
from touchstone.training.load import faults, load_class, load_spec
from touchstone.training.spec import ModelSpec, Parameter, RawData
from touchstone.training.tables.asked import BUILT_IN
from touchstone.training.wrapped import Wrapped
from trust_gates.inputs.description import DTYPES

if TYPE_CHECKING:
    import torch

CODE, DATA, NETWORK = "code", "data", "network"
"""The steps, in their order."""

_ROWS = 8
"""Samples that go through the network."""

_FITTED = 256
"""Samples that an estimator is fitted on: enough for one of every common class."""

Say = Callable[[Mapping[str, Any]], None]


class Asked(dict[str, Parameter]):
    """Hyperparameters that remember which of them `build` has looked at."""

    def __init__(self, given: Mapping[str, Parameter]) -> None:
        super().__init__(given)
        self.read: set[str] = set()
        self.whole = False
        """Whether all were looked at together, as `**parameters` does."""

    def __getitem__(self, key: str) -> Parameter:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As a dict's."""
        self.read.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.whole = True
        return super().__iter__()

    def keys(self) -> Any:
        """As a dict's."""
        self.whole = True
        return super().keys()

    def items(self) -> Any:
        """As a dict's."""
        self.whole = True
        return super().items()


def look(
    root: Path,
    entrypoint: str,
    uri: str | None,
    seed: int,
    tried: Sequence[Mapping[str, Parameter]],
    defended: Sequence[tuple[Sequence[str], Any]],
    output: str,
    say: Say,
    loaded: str | None = None,
) -> None:
    """Say each step that begins, each problem, and what was seen.

    Args:
        uri: None where the data are not to be loaded.
        tried: sets of hyperparameters that the network must be buildable with.
        defended: the field that declares defences, and them as JSON: it must be trainable behind
            them.
        output: folder that the data are written into; empty for none.
        say: takes {"step": name}, {"problem": words} and {"seen": {…}}.
        loaded: of a table the folder of its data, or empty where they are not to be had here.
    """
    say({"step": CODE})
    data = dataset.read_raw(Path(loaded)) if loaded else None
    spec: ModelSpec | None = None
    with _problems(root, say):
        if entrypoint == BUILT_IN:
            spec = None if data is None else load_spec(root, entrypoint, data.description)
        else:
            spec = _of_code(root, entrypoint, say)
    if spec is None or loaded == "":  # without its data nobody knows how wide a table is
        return
    if data is not None or uri is not None:
        say({"step": DATA})
        with _problems(root, say):
            loads = data is None
            found = spec.load_data(str(uri), seed=seed) if loads else data
            data = given.data(spec, found, table=not loads)
            spec.described = data.description
            given.encoded(spec, data, slice(0, _ROWS))
            say({"seen": _described(data, given.splits(spec, data))})
            if output:
                dataset.write_raw(Path(output), data)
                say({"seen": {"written": True}})
    say({"step": NETWORK})
    read: set[str] = set()
    module: torch.nn.Module | None = None
    for parameters in [{}, *tried]:
        asked = Asked(parameters)
        with _problems(root, say, after=f"with the parameters {parameters}" if parameters else ""):
            module = _built(spec, asked, data)
            read |= {"*"} if asked.whole else asked.read
            continue
        return  # the next set would most likely meet the same
    say({"seen": {"parameters": sorted(read)}})
    if data is None:
        return
    if data.description.dtype != DTYPES[0]:
        say({"seen": {"embedding": _unembedded(spec, module, data)}})
    for at, documents in defended:
        with _problems(root, say, at=at):
            defences, inputs = from_json(documents), data.description.inputs
            behind = wrap.training(wrap.inputs(spec, defences, inputs), defences, inputs)
            _built(behind, dict(tried[0]) if tried else {}, data)


def _of_code(root: Path, entrypoint: str, say: Say) -> ModelSpec | None:
    """The repository's own spec; None where it has faults, which are said."""
    found = load_class(root, entrypoint)
    wrong = list(faults(found))
    for one in wrong:
        say({"problem": raised.words(one, root)})
    if hasattr(found, "task"):
        say({"seen": {"task": found.task, "estimator": issubclass(found, EstimatorSpec)}})
    return None if wrong else found()


@contextmanager
def _problems(root: Path, say: Say, *, after: str = "", at: Sequence[str] = ()) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # anyone's code may raise anything, and exit as well
        words = raised.words(error, root)
        say({"problem": f"{words}\n  {after}" if after else words, "at": list(at)})


def _built(
    spec: ModelSpec, parameters: Mapping[str, Parameter], data: RawData | None
) -> torch.nn.Module | None:
    """Build the model, and ask it about a few samples; None is no network but an estimator.

    Raises:
        CodeError: something else comes of it than should.
    """
    own = spec
    while isinstance(own, Wrapped):
        own = own.inner
    if not isinstance(own, EstimatorSpec):
        module = given.network(spec, parameters)
        if data is not None:
            _through(spec, module, data)
        return module
    estimator = given.estimator(spec, parameters)
    if data is not None:
        from touchstone.training.estimator.fitted import try_fit

        try_fit(spec, estimator, data, _FITTED)
    return None


def _through(spec: ModelSpec, module: torch.nn.Module, data: RawData) -> None:
    """One step of training and one answer, of a few samples.

    Raises:
        CodeError: something else comes of it than should.
    """
    import torch

    rows = slice(0, _ROWS)
    batch = dataset.batch_of(data.arrays, rows)
    module.train()
    varied = given.batch(spec, spec.augment(batch, torch.Generator().manual_seed(0)))
    loss = given.scalar(spec, spec.loss(module, varied))
    given.finite(spec, loss)
    loss.backward()  # type: ignore[no-untyped-call]
    module.eval()
    with torch.inference_mode():
        answers = spec.predict(module, batch.inputs)
    if spec.task == "classification":
        given.logits(spec, answers, len(batch.inputs), len(data.description.classes))
    elif spec.task == "regression":
        given.numbers(spec, answers, len(batch.inputs))
    else:
        given.detections(spec, answers, len(batch.inputs))


def _unembedded(spec: ModelSpec, module: torch.nn.Module | None, data: RawData) -> str:
    """Why the tokens go into no embedding that could be judged from; empty where they do."""
    if module is None:
        return "an estimator has no embedding"
    import torch

    from touchstone.training import embedding

    try:
        embedding.find(spec, module, torch.from_numpy(data.arrays["inputs"][:1]))
    except ValueError as error:
        return str(error)
    return ""


def _described(data: RawData, divided: Dataset) -> dict[str, Any]:
    """What policies can be held against: the description, and how the test split is made up."""
    import numpy as np

    from trust_gates.spread import spread

    said, test = data.description, divided.splits["test"]
    inputs = said.inputs
    groups = {}
    if said.task == "classification":
        classes = np.arange(len(said.classes))
        groups = {
            name: [
                (test["labels"][test[f"protected_{name}"] == value, None] == classes)
                .sum(axis=0)
                .tolist()
                for value in range(len(values))
            ]
            for name, values in said.protected.items()
        }
    rows = data.arrays["inputs"].ndim == 2 and said.dtype == DTYPES[0]
    units = spread(data.arrays["inputs"], float(inputs["low"]), float(inputs["high"]))
    return {
        "description": said.to_json(),
        "sizes": {name: len(part["inputs"]) for name, part in divided.splits.items()},
        "groups": groups,
        "spread": units.ravel().tolist() if rows else [],
    }
