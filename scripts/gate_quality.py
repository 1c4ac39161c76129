"""Stage gate-quality: does the model do its task well enough on held-out samples?"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts import gate
from touchstone.commands import stage
from trust_gates.verdict import Evidence

if TYPE_CHECKING:
    from touchstone.delivery.release import Release
    from trust_gates.quality import Champion


def main(
    store: Annotated[str, typer.Option(help="Artifact store, e.g. file:///artifacts.")],
    source: Annotated[str, typer.Option(help="Digest of the model repository's tree.")],
    dataset: Annotated[str, typer.Option(help="Digest of the split dataset.")],
    model: Annotated[str, typer.Option(help="Digest of the trained model.")],
    gitops_url: Annotated[str, typer.Option(help="Where to read which version is served.")],
    result_evidence: Annotated[Path, typer.Option(help="File for the evidence's digest.")],
    result_outcome: Annotated[Path, typer.Option(help="File for the outcome.")],
) -> None:
    """Measure on the whole test split and decide on confidence bounds."""
    gate.run(
        lambda inputs: _judge(inputs, model, gitops_url),
        store=store,
        source=source,
        dataset=dataset,
        model=model,
        result_evidence=result_evidence,
        result_outcome=result_outcome,
    )


def _judge(inputs: gate.Inputs, model: str, gitops_url: str) -> Evidence:
    from touchstone.delivery.champion import served
    from trust_gates import quality

    champion_rule = inputs.pipeline.spec.gates.quality.champion
    policy = inputs.policy("quality", margin=champion_rule.margin if champion_rule else None)
    release = None
    if policy.margin is not None:
        environment = inputs.pipeline.spec.promote.environments[0]
        release = served(gitops_url, environment, inputs.pipeline.metadata.name)
    if release is not None and release.digests.model == model:
        evidence = quality.judge(inputs.target(), inputs.samples(), replace(policy, margin=None))
        note = f"the served version {release.version} is this very model: nothing to compare"
        return replace(evidence, notes=[*evidence.notes, note])
    champion = None if release is None else _champion(inputs, release)
    return quality.judge(inputs.target(), inputs.samples(), policy, champion)


def _champion(inputs: gate.Inputs, release: Release) -> Champion:
    """The served model asked about the same samples, or why it cannot be."""
    from trust_gates import quality

    try:
        with tempfile.TemporaryDirectory() as folder:
            tree = inputs.artifacts.get(release.digests.model, Path(folder) / "champion")
            answers = quality.ask(inputs.target(tree), inputs.samples())
    except Exception as error:  # another version's code may fail in any way; the check then fails
        why = (
            f"the served version {release.version} could not be asked about these samples "
            f"({type(error).__name__}: {error}); where the task has changed, take "
            "gates.quality.champion out"
        )
        return quality.Champion(version=release.version, missing=why)
    return quality.Champion(version=release.version, answers=answers)


if __name__ == "__main__":
    stage.run(main)
