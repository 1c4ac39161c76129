"""What does each stage read of a model repository?

Told apart before anything runs: a stage gets the digest of its own document and never the whole
tree, so what does not change its document cannot change its results, and the stage need not run
again. A model's code gets the tree without documents and without touchstone.yaml: what it could
read beyond its stage's document would be in no key of the cache.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from touchstone.artifacts.store import Store
from touchstone.contract import requirements
from touchstone.contract.model_repo import FILE_NAME, Data, Spec
from touchstone.contract.recipe import Tune
from touchstone.contract.remedy import judged_by
from touchstone.contract.requirements import Pinned
from touchstone.errors import UsageError
from touchstone.training.trainer import TrainConfig
from trust_gates import GATES
from trust_gates.gates import Gates
from trust_gates.inputs.description import Description
from trust_gates.inputs.table import columns_of
from trust_gates.policy import GatePolicy, Setting, Strict

_DOCUMENTS = {".md", ".rst", ".adoc"}
_TOLD_TO_PEOPLE = {"LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS", "CODEOWNERS"}
_OF_GIT = {".gitignore", ".gitattributes", ".mailmap"}


class PackagesReads(Strict):
    """packages: what requirements.txt pins and the toolkit has not.

    Nothing where that file is wrong, which validate says.
    """

    pins: tuple[Pinned, ...] = ()


class DataReads(Strict):
    """fetch-data: the code that loads the data, and what it is told."""

    code: str
    """Digest of the tree without documents and touchstone.yaml."""

    entrypoint: str
    data: Data


class SplitReads(Strict):
    """preprocess: the policies, whose names the data must have."""

    gates: Gates


class TuneReads(Strict):
    """tune: nothing but that there is none, where touchstone.yaml has no spec.tune."""

    code: str = ""
    entrypoint: str = ""
    tune: Tune | None = None
    config: TrainConfig | None = None
    """Of each trial; its own parameters come besides."""


class TrainReads(Strict):
    """train: the recipe, complete with what it takes from a policy and from a remedy."""

    code: str
    entrypoint: str
    workers: int
    config: TrainConfig
    """The tuned parameters come besides."""


class GateReads(Strict):
    """A gate: its own policy, and how sure it must be."""

    code: str = ""
    """integrity alone looks at it; the others know the model's own copy."""

    gates: Gates
    """The policy of this gate, and of no other that asks the model."""

    confidence: float
    """Of this gate, so that `spec.gates.confidence` holds for all of them together."""

    seed: int

    def policy(self, gate: str) -> GatePolicy | None:
        """The policy, where touchstone.yaml declares the gate."""
        return self.gates.policy(gate)

    def setting(self, description: Description) -> Setting:
        """What the gate is told besides its policy."""
        return Setting(
            confidence=self.confidence,
            seed=self.seed,
            features=tuple(description.inputs.get("features", ())),
            columns=columns_of(description.inputs),
            groups=description.protected,
        )


STAGES = ("packages", "data", "preprocess", "tune", "train", *GATES)
"""Who reads a document, by the names that `put` gives them."""

Reads = TypeVar("Reads", PackagesReads, DataReads, SplitReads, TuneReads, TrainReads, GateReads)


def put(artifacts: Store, tree: Path, declared: Spec, remedied: Spec) -> dict[str, str]:
    """The digest of each stage's document by the stage's name, a gate's by the gate's.

    Args:
        remedied: `declared` as this round trains it.
    """
    code = artifacts.put(tree, leave_out=is_document)
    training = {"code": code, "entrypoint": declared.entrypoint}
    config = TrainConfig(
        epochs=remedied.train.epochs,
        batch_size=remedied.train.batch_size,
        seed=remedied.data.seed,
        precision=remedied.train.precision,
        # A learning rate that suits plain training need not suit adversarial training.
        defences=remedied.defences,
    )
    found: dict[str, Strict] = {
        "data": DataReads(**training, data=declared.data),
        "preprocess": SplitReads(gates=declared.gates),
        "tune": TuneReads(),
        "train": TrainReads(
            **training,
            workers=remedied.train.workers,
            config=config.model_copy(
                update={"mitigation": remedied.mitigation, "evasion": remedied.evasion}
            ),
        ),
    }
    if (tune := remedied.tune) is not None:
        trial = config.model_copy(update={"epochs": tune.epochs})
        found["tune"] = TuneReads(**training, tune=tune, config=trial)
    gates = judged_by(declared)
    for gate in GATES:
        found[gate] = GateReads(
            code=code if gate == "integrity" else "",
            gates=Gates().model_copy(update={gate: gates.policy(gate)}),
            confidence=gates.confidence_each,
            seed=declared.data.seed,
        )
    told = {name: artifacts.put_json(one.plain()) for name, one in found.items()}
    return {"packages": put_packages(artifacts, tree), **told}


def put_packages(artifacts: Store, tree: Path) -> str:
    """The digest of the document of packages, which asks for no touchstone.yaml."""
    asked = requirements.read(tree)
    pins = () if asked.problems else tuple(replace(one, line=0) for one in asked.missing)
    return artifacts.put_json(PackagesReads(pins=pins).plain())


def load(artifacts: Store, digest: str, kind: type[Reads]) -> Reads:
    """The document that `put` left for a stage.

    Raises:
        UsageError: it is another one.
    """
    try:
        return kind.model_validate(artifacts.get_json(digest))
    except (ValidationError, ValueError):
        raise UsageError(
            f"got {digest} as what the stage reads ({kind.__name__}), expected a document as"
            " fetch-source leaves it in its result `reads`"
        ) from None


def is_document(name: str) -> bool:
    """Whether a file of a model repository, named by its path, is for people or forges alone.

    A model's code does not see them, nor touchstone.yaml, of which each stage is told its part.
    """
    path = PurePosixPath(name)
    return (
        name == FILE_NAME
        or path.suffix.lower() in _DOCUMENTS
        or (path.stem.upper() in _TOLD_TO_PEOPLE and path.suffix.lower() in ("", ".txt"))
        or path.name in _OF_GIT
        or path.parts[0] in (".github", ".gitlab", ".forgejo", ".gitea")
    )
