"""A real artifact store, key pair and bare GitOps repository, and a candidate to promote."""

from dataclasses import dataclass, replace
from pathlib import Path

from touchstone.artifacts.store import Store, digest_bytes
from touchstone.contract import model_repo
from touchstone.delivery import attestation, gitops, review
from touchstone.delivery.decisions import Reviewer
from touchstone.delivery.promote import Candidate, Promotion, promote
from touchstone.delivery.release import Digests, Serve
from touchstone.git import git
from touchstone.home import SHIPPED
from trust_gates import report

COMMIT = "1a2b3c4d5e6f" + "0" * 28
REPOSITORY = "https://git.example.org/me/tiny.git"


def check(gate="quality", name="accuracy", measured=0.9, outcome="passed", low=0.8, high=None):
    return {
        "gate": gate,
        "name": name,
        "measured": measured,
        "interval": {"low": 0.85, "high": 0.95, "confidence": 0.95},
        "required": {"low": low, "high": high},
        "samples": 200,
        "outcome": outcome,
        "reason": "measured",
        "samplesNeeded": None,
    }


@dataclass
class Platform:
    """What the embedded platform would hold, in one scratch folder."""

    root: Path
    store: Store
    keys: attestation.KeyPair
    gitops: str

    def candidate(self, *, commit=COMMIT, checks=None, passed=True, weights=b"weights", **more):
        tree = self.root / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "model.safetensors").write_bytes(weights)
        model = self.store.put(tree)
        evidence = self.root / "evidence"
        evidence.mkdir(exist_ok=True)
        (evidence / "sweep.png").write_bytes(b"\x89PNG sweep")
        verdict = self.store.put_json(
            {
                "apiVersion": "touchstone.dev/v1",
                "kind": "Verdict",
                "passed": passed,
                "commit": commit,
                "model": model,
                "policy": digest_bytes(b"policy"),
                "checks": checks or [check(), check("integrity", "digests", 1.0)],
                "evidence": {"robustness": self.store.put(evidence)},
                "figures": {},
                "captions": {},
                "tables": {},
                "notes": {},
                "asked": {},
                "warnings": {},
                "askedAs": {"robustness": "graph"},
                **more,
            }
        )
        return Candidate(
            model="tiny",
            repository=REPOSITORY,
            commit=commit,
            image_url="registry.example.org/tiny",
            image_digest=digest_bytes(b"image"),
            image_context=digest_bytes(b"context"),
            digests=Digests(model=model, source=digest_bytes(b"source"), verdict=verdict),
            serve=Serve(protocol="v2", canary=10, min_replicas=1),
            environments=("staging", "production"),
        )

    def promote(self, candidate=None, **changes) -> Promotion:
        return promote(
            replace(candidate or self.candidate(), **changes),
            store=self.store,
            gitops_url=self.gitops,
            key=self.keys.private,
            render=report.render,
        )

    @property
    def recording_key(self):
        return attestation.generate_keys(self.root / "recorder").private

    def reviewer(self, name="rita", email="rita@example.org"):
        """A person with a key of their own; people.yaml names Rita's alone."""
        key = attestation.generate_keys(self.root / "reviewers" / name).private
        return Reviewer(identity=gitops.Identity(name.title(), email), key=key)

    def approve(self, branch="tiny", reviewer=None):
        return review.approve(self.gitops, branch, self.keys.public, reviewer or self.reviewer())

    def key(self, name):
        return attestation.key_text(self.reviewer(name).key)

    def name(self, **keys):
        """Let people.yaml on main name these keys."""
        lines = [f'  {name}: "{key}"\n' for name, key in keys.items()]
        self.change("main", "people.yaml", ("keys:\n" + "".join(lines)).encode())

    def git(self, *arguments):
        return git(*arguments, cwd=Path(self.gitops))

    def change(self, branch, path, data, *, message="Meddle"):
        """Commit `data` at `path` on `branch` by hand, as someone with push rights could."""
        with gitops.clone(self.gitops) as checkout:
            checkout.git("checkout", "--quiet", "-B", "work", f"origin/{branch}")
            target = checkout.path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            checkout.commit(message, {"By": "hand"})
            checkout.push(f"HEAD:refs/heads/{branch}")


class Shelf:
    """What was asked to be served, in place of processes; a model in `broken` raises that."""

    def __init__(self):
        self.versions, self.broken = {}, {}

    def expect(self, places):
        self.expected = set(places)

    def apply(self, environment, model, unpack, version):
        if error := self.broken.get(model):
            raise error
        self.versions[environment, model] = version

    def remove(self, environment, model):
        self.versions.pop((environment, model))

    def current(self, environment, model):
        return self.versions.get((environment, model))

    def served(self):
        return list(self.versions)


def asked(**facts):
    """What a verdict says was asked, by a policy that no floor of a new repository is above."""
    spec = model_repo.load(SHIPPED / "training" / "examples" / "tabular").spec
    inputs = {"low": 0.0, "high": 1.0, "features": ["age", "bmi", "bp"], "immutable": ["age"]}
    known = {
        "task": "classification",
        "protected": {"sex": ["group 1", "group 2"]},
        "inputs": inputs,
        "samples": {"test": 90},
    }
    return {
        "gates": spec.gates.plain(),
        "confidence": spec.gates.confidence,
        "facts": {**known, **facts},
        "checks": [check(gate) for gate in spec.gates.declared],
    }


def ask_no_floor(url: str) -> None:
    """Let the environments of a GitOps repository ask nothing of a model but to pass."""
    with gitops.clone(url) as checkout:
        for environment in ("staging", "production"):
            checkout.write(gitops.policy_of(environment), b"requiredGates: [quality, integrity]\n")
        checkout.commit("Ask for no floor", {})
        checkout.push("HEAD:refs/heads/main")


def make_platform(tmp_path: Path) -> Platform:
    bare = tmp_path / "git" / "gitops.git"
    keys = attestation.generate_keys(tmp_path / "keys")
    platform = Platform(tmp_path, Store(tmp_path / "store"), keys, str(bare))
    recorder = attestation.key_text(platform.recording_key)
    founders = gitops.Founders(reviewer="rita", key=platform.key("rita"), recorder=recorder)
    if not bare.exists():  # of a folder that has one it is the platform that was made there
        gitops.create(bare, founders=founders)
        ask_no_floor(str(bare))
    return platform
