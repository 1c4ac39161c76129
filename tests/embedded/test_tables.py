"""COMPAS-, Adult- and German-like tables from data to verdict: sound passes, planted is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import table_model
import tables
import torch

from touchstone import cli
from touchstone.training import dataset
from touchstone.training.export import WEIGHTS, export
from touchstone.training.load import load_spec

GATES = ("quality", "robustness", "fairness", "explainability", "integrity")
POLICY = """\
gates:
  quality: {{checks: [{{metric: accuracy, atLeast: {accuracy}}}]}}
  robustness:
    {budget}
    attacks: [fgsm, pgd, square]
    samples: 200
    checks: [{{metric: robust_accuracy, atLeast: {robust}}}]
  fairness:
    {protected}
    favorable: {favorable}
    minimumGroup: 25
    checks:
      - {{metric: statistical_parity_difference, within: [-{gap}, {gap}]}}
      - {{metric: equal_opportunity_difference, within: [-{gap}, {gap}]}}
  explainability:
    samples: 150
    checks:
      - {{metric: faithfulness, atLeast: 0.05}}
      - {{metric: stability, atLeast: 0.6}}
      - {{metric: protected_share, atMost: 0.35}}
  integrity: {{checks: [{{metric: label_noise, atMost: 0.2}}]}}
"""
ASKED = {
    "compas": {
        "accuracy": 0.75,
        "robust": 0.6,
        "budget": "{norm: linf, epsilon: 0.01}",
        "protected": "{protected: race, privileged: [caucasian]}",
        "favorable": "no",
        "gap": 0.25,
    },
    "adult": {
        "accuracy": 0.75,
        "robust": 0.6,
        "budget": "{norm: linf, epsilon: 0.25}",
        "protected": "{protected: sex, privileged: [male]}",
        "favorable": '">50K"',
        "gap": 0.25,
    },
    "german": {
        "accuracy": 0.75,
        "robust": 0.6,
        "budget": "{norm: linf, epsilon: 0.01}",
        "protected": "{protected: age_group, privileged: [old]}",
        "favorable": 1,
        "gap": 0.45,
    },
}


def written(asked):
    """The policy; a flow mapping in braces gives several lines."""
    lines = {k: str(v) for k, v in asked.items()}
    for name in ("budget", "protected"):
        pairs = lines[name].strip("{}").split(", ", 1)
        lines[name] = "\n    ".join(pairs)
    return POLICY.format(**lines)


class Case:
    """A table as a data folder, and a model tree that learned from it."""

    def __init__(self, root: Path, name: str, data: dataset.Dataset) -> None:
        self.root, self.data = root, data
        (root / "repository").mkdir()
        shutil.copy(table_model.__file__, root / "repository" / "model.py")
        dataset.write(root / "data", data)
        (root / "gates.yaml").write_text(written(ASKED[name]))
        parameters = {"columns": data.description.inputs["shape"][0]}
        spec = load_spec(root / "repository", "model.py:Rows")
        torch.manual_seed(0)
        module = spec.build(parameters)
        self._learn(spec, module)
        export(
            root / "model",
            module=module,
            spec=spec,
            sample=torch.from_numpy(data.splits["train"]["inputs"][:8]),
            source=root / "repository",
            entrypoint="model.py:Rows",
            parameters=parameters,
            description=data.description,
            metrics={},
            seed=0,
        )

    def _learn(self, spec, module) -> None:
        batch = dataset.batch_of(self.data.splits["train"], slice(None))
        with torch.no_grad():
            module[0].mean.copy_(batch.inputs.mean(0))
            module[0].scale.copy_(batch.inputs.std(0).clamp(min=1e-6))
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=0.1)
        for _ in range(150):
            optimizer.zero_grad()
            spec.loss(module, batch).backward()
            optimizer.step()

    def judged(self, monkeypatch, capsys, gates=GATES) -> tuple[int, set[str], dict[str, str]]:
        """The exit code, the gates that refused, and each check that did not pass."""
        digest = hashlib.sha256((self.root / "model" / WEIGHTS).read_bytes()).hexdigest()
        options = {
            "model": self.root / "model",
            "data": self.root / "data",
            "policy": self.root / "gates.yaml",
            "expect": f"{WEIGHTS}=sha256:{digest}",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        monkeypatch.setattr("sys.argv", ["touchstone", "gate", *gates, *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert out, err
        checks = [one for one in json.loads(out)["checks"] if one["outcome"] != "passed"]
        return (
            ended.value.code or 0,
            {one["gate"] for one in checks},
            {one["name"]: one["reason"] for one in checks},
        )


@pytest.mark.long
@pytest.mark.parametrize("name", ASKED)
def test_a_fair_model_of_a_sound_table_passes_every_gate(name, tmp_path, monkeypatch, capsys):
    case = Case(tmp_path, name, tables.split(name))
    code, refusing, reasons = case.judged(monkeypatch, capsys)
    assert (code, refusing, reasons) == (0, set(), {})


@pytest.mark.long
@pytest.mark.parametrize("name", ASKED)
def test_an_unfair_model_is_refused_by_the_fairness_gate(name, tmp_path, monkeypatch, capsys):
    case = Case(tmp_path, name, tables.split(name, gap=1.0))
    code, refusing, reasons = case.judged(monkeypatch, capsys, ("quality", "fairness", "integrity"))
    assert (code, refusing) == (5, {"fairness"}), reasons
    assert any("statistical_parity_difference" in reason for reason in reasons)


@pytest.mark.long
@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("planted", "check"),
    [
        (lambda data: tables.leaky(data, 0.1), "leaked_test_samples"),
        (lambda data: tables.mislabelled(data, 0.35), "label_noise"),
    ],
    ids=["leaky", "mislabelled"],
)
def test_a_table_that_was_tampered_with_is_refused_by_the_integrity_gate(
    name, planted, check, tmp_path, monkeypatch, capsys
):
    case = Case(tmp_path, name, planted(tables.split(name)))
    code, refusing, reasons = case.judged(monkeypatch, capsys, ("integrity",))
    assert (code, refusing) == (5, {"integrity"})
    assert check in reasons
