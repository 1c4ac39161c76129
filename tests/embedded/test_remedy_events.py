"""A refusal's event starts the next round, once, and no more rounds than declared.

The stages and the listener are the real ones; what the gates found is given, so nothing trains.
"""

import json

import jsonschema
import pytest
from verdict_inputs import EXAMPLE, SHOWN, dataset_tree, evidence, model_tree

from scripts import fetch_source, notify, verdict
from touchstone.artifacts.store import Store
from touchstone.errors import ModelRefusedError, UsageError
from touchstone.events import inside
from touchstone.events.listener import Listener
from touchstone.events.triggers import load_listeners
from touchstone.git import git
from touchstone.home import Home
from touchstone.platform.embedded import DEFINITIONS, overrides
from touchstone.runs.store import State
from trust_gates import report

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org")
GATES = ("quality", "robustness", "fairness", "explainability", "integrity")
REMEDY = "  remedy: {fairness: reweighing, robustness: adversarial_training, maxRounds: %d}\n"


class World:
    def __init__(self, root, monkeypatch):
        self.root, self.home = root, Home(root / "home")
        self.home.prepare()
        monkeypatch.setenv("TOUCHSTONE_HOME", str(self.home.root))
        monkeypatch.delenv("K_SINK", raising=False)
        self.state, self.store = State(self.home.root), Store(self.home.artifacts)
        self.trees = {
            "model": self.store.put(model_tree(root / "model-tree")),
            "dataset": self.store.put(dataset_tree(root / "dataset-tree")),
        }
        outside, *others = load_listeners([DEFINITIONS / "triggers", DEFINITIONS / "sources"])
        self.listener = Listener(
            self.state,
            triggers=outside,
            inside=others,
            secrets=self.home.secret,
            overrides=overrides(self.home),
        )

    def commit(self, rounds):
        work = self.root / "work"
        git("init", "--quiet", "--initial-branch=main", str(work))
        git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=work)
        (work / "model.py").write_text((EXAMPLE / "model.py").read_text())
        text = (EXAMPLE / "touchstone.yaml").read_text()
        (work / "touchstone.yaml").write_text(text + REMEDY % rounds if rounds else text)
        git("add", "--all", cwd=work)
        git(*AUTHOR, "commit", "--quiet", "--message=x", cwd=work)
        return {
            "repo-url": work.as_uri(),
            "revision": git("rev-parse", "HEAD", cwd=work),
            "repository": "me/My Model",
            "branch": "main",
            "forge": "gitlab",
            "data": "s3://b/1",
        }

    def judge(self, run, params, *refused):
        """fetch-source, verdict and notify of a run whose gates `refused`; its verdict."""
        store = self.store.root.as_uri()
        how = {
            "number": int(params.get("round", "0")),
            "remedy": params.get("remedy", ""),
            "previous": params.get("previous", ""),
        }
        results = {name: self.root / name for name in ("source", "commit", "model", "verdict")}
        fetch_source.main(
            store,
            params["repo-url"],
            params["revision"],
            results["source"],
            results["commit"],
            results["model"],
            self.root / "champion",
            self.root / "floor",
            **how,
        )
        found = [
            evidence(self.store, self.root, gate, "failed" if gate in refused else "passed")
            for gate in GATES
        ]
        judged = {
            "store": store,
            "run": run,
            "source": results["source"].read_text(),
            "commit": params["revision"],
            "data": SHOWN,
            **self.trees,
            "result_verdict": results["verdict"],
            "result_passed": self.root / "passed",
        }
        if refused:
            with pytest.raises(ModelRefusedError):
                verdict.main(found, **judged, **how)
        else:
            verdict.main(found, **judged, **how)
        self.notify(run, params, refused=bool(refused))
        document = self.store.get_json(results["verdict"].read_text())
        jsonschema.validate(document, report.schema())
        return document

    def notify(self, run, params, *, refused=True):
        told = ("repository", "branch", "forge", "data")
        notify.main(
            self.store.root.as_uri(),
            run,
            "Failed" if refused else "Succeeded",
            "Failed",
            params["repo-url"],
            "true",
            **{name: params[name] for name in told},
        )

    def next(self):
        """The run that the listener starts now, and its params; None where it starts none."""
        names = self.listener.process_pending()
        if not names:
            return None
        (name,) = names
        run = self.state.run(name).manifest
        assert run["spec"]["pipelineRef"]["name"] == "model"
        return name, {param["name"]: param["value"] for param in run["spec"]["params"]}


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_remedies_add_up_and_rounds_end_where_touchstone_yaml_says(world):
    params = world.commit(rounds=2)
    first = world.judge("model-1", params, "fairness")
    assert (first["round"], first["offered"]) == (0, {"fairness": "reweighing"})
    name, second = world.next()
    assert name == "model-1-r1"
    assert (second["round"], second["remedy"]) == ("1", "fairness=reweighing")
    same = ("repo-url", "revision", "repository", "branch", "forge", "data")
    assert {key: second[key] for key in same} == {key: params[key] for key in same}
    assert second["image"] == f"localhost/models/my-model:{params['revision'][:7]}"

    world.judge(name, second, "robustness")
    name, third = world.next()
    assert name == "model-1-r1-r2"
    assert third["remedy"] == "fairness=reweighing,robustness=adversarial_training"

    last = world.judge(name, third, "fairness")
    assert (last["round"], last["offered"]) == (2, {})
    assert last["previous"]["run"] == "model-1-r1"
    assert last["seeds"]["split"] == 2
    trained = last["facts"]["training"]
    assert trained["mitigation"]["method"] == "reweighing"
    assert [one["method"] for one in trained["defences"]] == ["adversarial_training"]
    assert world.next() is None
    assert len(world.state.runs()) == 2


def test_an_event_that_is_told_twice_starts_one_round(world, capsys):
    params = world.commit(rounds=1)
    world.judge("model-1", params, "fairness")
    assert world.next()
    world.notify("model-1", params)
    assert "is known already" in capsys.readouterr().out
    assert world.next() is None


def test_a_model_that_passed_or_has_no_remedy_starts_nothing(world):
    params = world.commit(rounds=0)
    world.judge("passed", params)
    assert world.state.events() == []
    world.judge("no-remedy-declared", params, "fairness")
    params = world.commit(rounds=1)
    world.judge("no-remedy-for-quality", params, "fairness", "quality")
    assert world.next() is None
    assert all("remedy: nothing started" in event.outcome for event in world.state.events())


def put(world, data, kind=notify.REFUSED):
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": kind,
        "ce-source": "/touchstone/runs",
        "ce-id": json.dumps(data) + kind,
    }
    inside.put(world.state, headers, json.dumps(data).encode(), listener=inside.SOURCES)


def test_only_a_refusal_below_its_last_round_passes_the_trigger(world, capsys):
    params = world.commit(rounds=2)
    world.judge("model-1", params, "fairness")
    world.next()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["data"]
    assert told["refused"] == ["fairness"]
    assert (told["model"], told["commit"]) == ("diabetes-progression", params["revision"])
    put(world, told, kind=notify.FINISHED)
    put(world, {**told, "round": 2})
    put(world, {**told, "round": 7})
    put(world, {**told, "remedy": ""})
    put(world, {**told, "promote": "false"})  # a pull request is judged as it is
    put(world, {"run": "model-1"})
    assert world.next() is None


def test_a_forged_event_gets_no_further_than_fetch_source(world, capsys):
    params = world.commit(rounds=1)
    world.judge("model-1", params, "fairness")
    world.next()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["data"]
    for number, change in enumerate(
        ({"round": 1, "maxRounds": 9}, {"remedy": "robustness=adversarial_training"})
    ):
        put(world, {**told, **change, "run": f"forged-{number}"})
        name, forged = world.next()
        with pytest.raises(UsageError, match="expected at most 1|says offered="):
            world.judge(name, forged, "fairness")
