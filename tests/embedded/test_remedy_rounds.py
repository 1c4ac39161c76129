"""A refused model is tried again with its remedy, embedded, and never more often than declared."""

import shutil

import pytest
from delivery_platform import ask_no_floor

from touchstone.artifacts.store import Store
from touchstone.delivery import status as statuses
from touchstone.git import git
from touchstone.home import SHIPPED, Home
from touchstone.platform.addresses import Addresses
from touchstone.platform.embedded import Platform, prepare
from touchstone.requests.embedded import EmbeddedControl
from touchstone.requests.start import Wanted, start

pytestmark = pytest.mark.long

EXAMPLE = SHIPPED / "training" / "examples" / "tabular"
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org")

BIASED = '''
"""The diabetes patients' like, of whom the second group was recorded as worse than it was."""

import numpy as np
from model import Progression

from touchstone.training.spec import RawData


class Biased(Progression):
    def load_data(self, uri, *, seed):
        real = super().load_data("sklearn:diabetes", seed=seed)
        generator = np.random.default_rng(seed)
        features = real.arrays["inputs"].astype(np.float64)
        drawn = generator.multivariate_normal(features.mean(axis=0), np.cov(features.T), 2400)
        group = generator.integers(2, size=len(drawn))
        drawn[:, 1] = group  # sex, as the real ones have it
        score = drawn[:, 2] + drawn[:, 8] - drawn[:, 6] / 2
        score += 0.35 * group + 0.03 * generator.normal(size=len(drawn))
        return RawData(
            description=real.description,
            arrays={
                "inputs": drawn.clip(0, 1).astype(np.float32),
                "labels": (score > np.median(score)).astype(np.int64),
                "protected_sex": group,
            },
        )
'''

MANIFEST = """\
apiVersion: touchstone.dev/v1
kind: ModelPipeline
metadata: {name: biased}
spec:
  entrypoint: biased.py:Biased
  data: {uri: generate, seed: 3}
  train: {epochs: 10}
  gates:
    quality: {checks: [{metric: accuracy, atLeast: 0.55}]}
    fairness:
      protected: sex
      privileged: [group 1]
      favorable: slower
      checks: [{metric: statistical_parity_difference, within: [-0.3, 0.3]}]
  remedy:
    fairness: %s
    maxRounds: 1
"""


class World:
    """The platform without its servers: what is pushed runs until nothing is left to do."""

    def __init__(self, root):
        self.home, self.work = Home(root / "home"), root / "work"
        addresses = Addresses(listener=1, serving=2)
        prepare(self.home, addresses)
        ask_no_floor(str(self.home.gitops_repository))
        self.platform = Platform(self.home, addresses)
        self.state = self.platform.state
        git("init", "--quiet", "--initial-branch=main", str(self.work))
        shutil.copy(EXAMPLE / "model.py", self.work)
        (self.work / "biased.py").write_text(BIASED)

    def push(self, remedy):
        """Run the commit and all that follows from it; the runs in order, and the commit."""
        (self.work / "touchstone.yaml").write_text(MANIFEST % remedy)
        git("add", "--all", cwd=self.work)
        git(*AUTHOR, "commit", "--quiet", "--message=x", cwd=self.work)
        bare = self.home.model_repository
        (bare / "hooks" / "post-receive").unlink(missing_ok=True)  # no listener to tell
        git("push", "--quiet", str(bare), "HEAD:main", cwd=self.work)
        commit = git("rev-parse", "HEAD", cwd=self.work)
        wanted = Wanted(
            template="model",
            repo_url=bare.as_uri(),
            repository="me/model",
            branch="main",
            revision=commit,
            image_registry="localhost/models",
            gitops_url=self.home.gitops_repository.as_uri(),
            event=commit,
        )
        names, waiting = [], [start(EmbeddedControl(self.home), wanted)]
        while waiting:
            for name in waiting:
                self.platform.engine.execute(name)
            names += waiting
            waiting = self.platform.listener.process_pending()
        return names, commit

    def verdict(self, run):
        store = Store(self.home.artifacts)
        return store.get_json(store.ref(f"runs/{run}/verdict"))

    def reason(self, run):
        return self.state.run(run).status["conditions"][0]["reason"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("remedy"))


def test_what_reweighing_mends_is_promoted_by_the_second_run_with_both_verdicts(world):
    (first, second), commit = world.push("reweighing")
    assert second == f"{first}-r1"
    before, after = world.verdict(first), world.verdict(second)
    assert (before["passed"], before["round"], before["remedies"]) == (False, 0, {})
    assert {c["gate"] for c in before["checks"] if c["outcome"] != "passed"} == {"fairness"}
    assert before["offered"] == {"fairness": "reweighing"}
    assert (world.reason(first), world.reason(second)) == ("Failed", "Succeeded")

    assert (after["passed"], after["round"], after["offered"]) == (True, 1, {})
    assert after["remedies"] == {"fairness": "reweighing"}
    assert after["previous"]["run"] == first
    assert after["previous"]["checks"] == before["checks"]
    assert after["commit"] == before["commit"] == commit
    assert after["source"] == before["source"]
    assert after["dataset"] != before["dataset"]  # drawn anew
    assert after["model"] != before["model"]

    results = {item["name"]: item["value"] for item in world.state.run(second).status["results"]}
    tree = git(
        *("show", f"{results['branch']}:environments/production/biased/trust-report.md"),
        cwd=world.home.gitops_repository,
    )
    assert "Before and after reweighing" in tree
    body = git("log", "-1", "--format=%B", results["branch"], cwd=world.home.gitops_repository)
    assert f"trained with reweighing after {first} was refused" in body
    (status,) = statuses.read(world.home.model_repository, commit)
    assert status.state == "success"


def test_what_stays_refused_ran_once_and_once_a_round_and_is_left_alone(world):
    idle = "{method: disparate_impact_remover, options: {repair_level: 0}, compare: false}"
    names, commit = world.push(idle)
    assert len(names) == 2
    assert [world.reason(name) for name in names] == ["Failed", "Failed"]
    last = world.verdict(names[-1])
    assert (last["passed"], last["round"], last["offered"]) == (False, 1, {})
    (status,) = statuses.read(world.home.model_repository, commit)
    assert status.state == "failure"
    event = world.state.events(limit=1)[0]
    assert event.event.headers["ce-type"] == "dev.touchstone.model.refused.v1"
    assert event.event.headers["ce-subject"] == names[-1]
    assert "remedy: nothing started" in event.outcome
