"""Robustness gate: how much does the model still get right when its inputs are attacked?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trust_gates import embedded
from trust_gates.company import as_served
from trust_gates.policy import Setting
from trust_gates.robustness import (
    asked,
    attacks,
    band,
    evasion,
    figures,
    masking,
    pictures,
    stepped,
    weak,
)
from trust_gates.robustness.figures.figure import Found
from trust_gates.robustness.measure import measure
from trust_gates.robustness.policy import MASKING, Robustness
from trust_gates.robustness.sweep import sweep
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples, Task
from trust_gates.statistics import decide, exact, named
from trust_gates.target import Target
from trust_gates.verdict import Evidence

GATE = "robustness"

_HELD: Mapping[Task, str] = {
    "classification": "robust_accuracy",
    "detection": "robust_recall",
    "regression": band.WITHIN,
}
"""What is left of a model of each task."""


@as_served(GATE)
def judge(
    target: Target,
    samples: Samples,
    policy: Robustness,
    setting: Setting = Setting(),
) -> Evidence:
    """Attack up to `policy.samples` samples and decide on what survives all attacks.

    Metrics: `robust_accuracy` for classifiers; `robust_recall`, `robust_map50` and
    `robust_map50_95` for detectors, where the worst attack is taken image by image;
    `robust_within_tolerance` for regressions and, where it is required,
    `robust_mean_absolute_error`; `evasion_*` where a detector of adversarial inputs is served with
    the model; the further `figures` that the policy asks for. A check `gradient_masking` is always
    added.

    Raises:
        GateError: an attack does not work here, or the model gives no gradients.
        PolicyError: no value can be moved within the policy, or it would pass any model.
        ValueError: the policy names an unknown metric or feature, an attack does not serve such
            models, or there are no samples.
    """
    if not len(samples):
        raise ValueError("got no samples to attack, expected at least one")
    policy.check_names(setting.known(samples))
    space = None
    if embedded.of_tokens(samples):
        target, samples, space = embedded.view(
            GATE,
            target,
            samples,
            least=policy.samples,
            most=len(samples),
            seed=setting.seed,
        )
        setting = replace(setting, features=())
    task, name = samples.task, _HELD[samples.task]
    attacks.chosen(policy.attacks, policy.norm, task)
    wanted = figures.chosen(policy.wanted, policy.norm, task)
    budget = policy.budget(setting.seed)
    target = policy.limit(target, setting.features)
    constant = None
    if policy.tolerance is not None:
        constant = band.of_constant(samples, policy.tolerance, setting.seed)
    attackable = min(policy.samples, len(samples))
    proof = weak.check_policy(policy.requirements, attackable, setting, constant)
    whole, given = Victim.of(target, samples), samples
    warnings = asked.warnings(policy, whole, samples, setting)
    if policy.tolerance is not None:
        target, samples = band.of(target, samples, policy.tolerance)
    target, misled = stepped.recognised(target, samples, budget)
    if target.averaged is not None:
        figures.refuse_slopes(wanted)
    else:
        whole = replace(whole, target=replace(whole.target, averaged=None))
    broken = {n: weak.check_attack(n, samples, target, budget) for n in policy.names}
    victim = Victim.of(target, samples)
    measured = measure(victim, samples, policy, setting, name=name)
    told = asked.pairs(policy, whole, given, setting, attacked=len(measured.samples))
    samples, attacked, measures = measured.samples, measured.attacked, dict(measured.figures)
    if any(one.metric == band.ERROR for one in policy.requirements):
        some = given.take(measured.rows)
        measures[band.ERROR] = band.largest_errors(
            whole.target, some, policy.names, budget, attacked
        )
    curves = sweep(
        victim,
        samples,
        policy.names,
        budget,
        policy.sweep,
        attacked=attacked,
        judged=measures[name],
    )
    more = figures.measure(
        wanted,
        figures.Scene(
            victim=victim,
            samples=samples,
            attacked=attacked,
            budget=budget,
            confidence=setting.confidence,
            seen=None if policy.tolerance is None else given.inputs[measured.rows],
        ),
    )
    signs = masking.look(victim, samples, attacked, budget, curves.unbounded)
    flags = signs.flags()
    seen = evasion.look(victim, samples, attacked, budget, setting.confidence)
    further = Found.joined([more, seen] if seen else [more])
    measures |= further.measures
    measures[MASKING] = exact(len(flags), len(samples))
    return Evidence(
        gate=GATE,
        checks=[
            *decide(GATE, measures, policy.requirements, confidence=setting.confidence),
            *decide(GATE, measures, named(policy.always), confidence=setting.confidence, minimum=0),
        ],
        figures={
            **{name: figure.value for name, figure in measures.items()},
            "clean": signs.clean,
            "noise": signs.noise,
        },
        pictures={
            **pictures.drawn(
                victim,
                samples,
                attacked,
                policy,
                curves,
                name=name,
                confidence=setting.confidence,
            ),
            **further.pictures,
        },
        captions={**pictures.CAPTIONS, **further.captions},
        tables=(attacked.table(broken), curves.table(setting.confidence), *further.tables),
        notes=[
            *([embedded.told(space, policy.norm, policy.epsilon, setting.seed)] if space else ()),
            *measured.notes,
            *([stepped.note(misled)] if target.averaged is not None else ()),
            *(f"gradient masking: {flag}" for flag in flags),
            proof,
        ],
        asked=told,
        warnings=warnings,
    )
