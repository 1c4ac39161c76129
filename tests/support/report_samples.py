"""Verdict documents to report on, made by the gates' own classes."""

import math

from trust_gates.verdict import Check, Evidence, Interval, Outcome, Required, Table, Verdict

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fcff"
    "9fa11e000782027f3dc848ef0000000049454e44ae426082"
)
DIGEST = "sha256:" + "0" * 64


def check(gate="quality", outcome=Outcome.PASSED, measured=0.9, reason="because", **more):
    return Check(
        gate=gate,
        outcome=outcome,
        measured=measured,
        reason=reason,
        **{
            "name": "accuracy",
            "interval": Interval(low=0.85, high=0.95, confidence=0.95),
            "required": Required(low=0.8),
            "samples": 100,
            **more,
        },
    )


def evidence(*checks, gate="quality", **more):
    return Evidence(gate=gate, checks=list(checks), **more)


def document(*found, **more):
    """A verdict document as the verdict stage writes it."""
    return {
        "apiVersion": "touchstone.dev/v1",
        "kind": "Verdict",
        **Verdict(evidence=found).to_json(),
        "evidence": {one.gate: DIGEST for one in found},
        "commit": "c" * 40,
        **more,
    }


def full():
    """A refused verdict in which every part of the report has something to say."""
    undecided = check(
        "robustness",
        Outcome.INSUFFICIENT,
        0.5,
        "robust_accuracy: 40 samples cannot tell",
        name="robust_accuracy",
        samples_needed=300,
    )
    table = Table(
        title="Accuracy by epsilon", columns=["epsilon", "left"], rows=[[0.1, None], ["all", 0.2]]
    )
    return document(
        evidence(check(), figures={"accuracy": 0.9, "recall": math.nan}),
        evidence(
            undecided,
            gate="robustness",
            captions={"robustness-epsilon": "What is left as epsilon grows."},
            tables=[table],
            notes=["40 samples attacked"],
        ),
        name="tiny",
        model=DIGEST,
        dataset=DIGEST,
        data=DIGEST,
        source=DIGEST,
        policy=DIGEST,
        run="tiny-1",
        seeds={"data": 7},
        gates={"confidence": 0.95},
        software={"python": "3.11.9", "torch": "2.13.0+cpu"},
        packages={"digest": DIGEST, "versions": {"lightgbm": "4.6.0"}},
        card={"purpose": "Tell gold from gilt.", "limits": "", "owner": "The assay office"},
        facts={
            "task": "classification",
            "classes": ["gold", "gilt"],
            "inputs": {"kind": "tabular", "shape": [2], "low": 0, "high": 1},
            "protected": {"mint": ["old", "new"]},
            "samples": {"train": 60, "test": 40},
            "uri": "generate",
            "entrypoint": "model.py:Tiny",
            "parameters": {"width": 8},
            "training": {"epochs": 3},
            "metrics": {"val_accuracy": 0.91},
        },
    )


PICTURES = {"robustness-epsilon.png": PIXEL, "stray.png": PIXEL}

TUNED = {
    "parameters": {"width": 8},
    "trials": [
        {"number": 0, "parameters": {"width": 4}, "value": None, "reason": "x", "figures": {}},
        {
            "number": 1,
            "parameters": {"width": 8},
            "value": 0.9,
            "reason": "",
            "figures": {"val_accuracy": 0.9},
        },
    ],
    "best": 0.9,
}
"""What the stage tune leaves: a trial that failed, and the best."""
