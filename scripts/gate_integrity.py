"""Stage gate-integrity: did anyone tamper with the model's files, its data or its labels?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from scripts import gate
from touchstone.artifacts.store import Store, digest_file
from touchstone.commands import stage
from trust_gates.verdict import Evidence


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    data: Annotated[str, typer.Option(help="Digest of the raw data.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    model: Annotated[str, typer.Option(help="Digest of the trained model.")],
    image_digest: Annotated[str, typer.Option(help="Digest of the serving image.")],
    result_evidence: Annotated[Path, typer.Option(help="File for the evidence's digest.")],
    result_outcome: Annotated[Path, typer.Option(help="File for the outcome.")],
) -> None:
    """Hold every file against its digest and look for anything that could run when loaded."""

    def judge(inputs: gate.Inputs) -> Evidence:
        named = {"source": source, "data": data, "dataset": dataset, "model": model}
        return _judge(inputs, named, image_digest)

    gate.run(
        judge,
        store=store,
        source=source,
        dataset=dataset,
        model=model,
        result_evidence=result_evidence,
        result_outcome=result_outcome,
    )


def _judge(inputs: gate.Inputs, named: dict[str, str], image_digest: str) -> Evidence:
    from trust_gates import integrity, policies
    from trust_gates.integrity import poison

    expected = {**named, "image": image_digest}
    actual = {name: _computed(inputs.artifacts, digest) for name, digest in named.items()}
    # The image lies in a registry, which checks its bytes: here only its name must be a digest.
    actual["image"] = image_digest
    code = inputs.model_folder / "code"
    for file in sorted(inputs.source_folder.rglob("*.py")):
        name = file.relative_to(inputs.source_folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        expected[f"code/{name}"] = digest_file(file)
        copy = code / name
        actual[f"code/{name}"] = digest_file(copy) if copy.is_file() else ""
    for file in sorted(code.rglob("*")):
        if file.is_file():
            actual.setdefault(f"code/{file.relative_to(code)}", digest_file(file))
    description, gates = inputs.dataset.description, inputs.pipeline.spec.gates
    asked, seed = gates.integrity.poisoning, inputs.pipeline.spec.data.seed
    poisoning = None
    if asked is not None:
        poisoning = poison.Policy(
            detectors=asked.detectors,
            samples=asked.samples,
            recall=asked.recall,
            confidence=gates.confidence_each,
            seed=seed,
        )
    policy = integrity.Policy(
        requirements=policies.requirements("integrity", gate.plain(gates.integrity)),
        poisoning=poisoning,
        pinned=gates.integrity.pinned,
        confidence=gates.confidence_each,
        seed=seed,
    )
    subject = integrity.Subject(
        model=inputs.model_folder,
        expected=expected,
        actual=actual,
        splits={name: inputs.samples(name) for name in inputs.dataset.splits},
        low=float(description.inputs["low"]),
        high=float(description.inputs["high"]),
        groups=description.protected,
        features=tuple(description.inputs.get("features", ())),
        source=inputs.source_folder,
        target=inputs.target,
    )
    return integrity.judge(subject, policy)


def _computed(artifacts: Store, digest: str) -> str:
    """The digest of what the store gives for `digest`, computed anew from its files."""
    with tempfile.TemporaryDirectory() as folder:
        return Store(Path(folder) / "store").put(artifacts.get(digest, Path(folder) / "tree"))


if __name__ == "__main__":
    stage.run(main)
