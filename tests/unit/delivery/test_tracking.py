"""A tracker is named without credentials, told under names it takes, and can fail nothing."""

import socket

import pytest
from report_samples import PICTURES, TUNED, full

from scripts import track
from touchstone.artifacts.store import Store
from touchstone.delivery import tracking
from touchstone.delivery.tracker import Server
from touchstone.errors import DeadlineError, UsageError


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("TIMEOUT", "MAX_RETRIES"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "1")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")


def told(verdict=None, **changes):
    given = {"model": "tiny", "commit": "c" * 40, "tuned": TUNED, "files": PICTURES}
    return tracking.of_run("tiny-1", verdict=verdict, **{**given, **changes})


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:secret@host/",
        "https://token@host",
        "ftp://host",
        "mlruns",
        "file:///x",
        "sqlite:",
    ],
)
def test_only_servers_and_files_are_trackers_and_no_address_holds_credentials(uri):
    with pytest.raises(UsageError) as raised:
        Server.of(uri, {})
    assert "secret" not in str(raised.value)


def test_a_database_is_named_from_wherever_the_stage_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Server.of("sqlite:///a.db", {}).uri == f"sqlite:///{tmp_path}/a.db"
    assert Server.of(f"sqlite:///{tmp_path}/a.db", {}).uri == f"sqlite:///{tmp_path}/a.db"


def test_what_is_put_into_the_secret_is_what_the_stage_reads(tmp_path):
    server = Server.of("https://mlflow.example.org", {"token": "t0p", "password": ""})
    for key, value in server.files().items():
        (tmp_path / key).write_text(f"{value}\n")
    assert Server.read(tmp_path) == server
    assert "t0p" not in repr(server)
    assert Server.read(tmp_path / "absent") is None and Server.read(None) is None


def test_a_refused_run_tells_its_figures_its_trials_and_who_refused_it():
    found = told(("sha256:1", full()))
    assert found.tags["touchstone.verdict"] == "refused"
    assert found.tags["touchstone.refused"] == "robustness"
    assert found.params == {"width": "8", "train.epochs": "3"}
    assert found.metrics["val_accuracy"] == 0.91
    assert found.metrics["robustness/robust_accuracy"] == 0.5
    assert found.metrics["quality/accuracy.low"] == 0.85
    assert [trial.failed for trial in found.trials] == [True, False]
    assert found.trials[1].metrics == {"val_accuracy": 0.9}
    assert set(found.files) == set(PICTURES)


def test_a_run_that_broke_before_its_verdict_tells_what_was_tried():
    found = told(files={})
    assert not found.ended and found.params == {"width": "8"} and len(found.trials) == 2


def test_names_that_a_models_code_chose_neither_climb_nor_flood():
    hostile = {"../../x": 1.0, "a//b": 2.0, "ä[%]\n": 3.0, "nan": float("nan"), "flag": "no number"}
    flood = {f"val_{number}": 1.0 for number in range(10_000)}
    trial = TUNED["trials"][1]
    tuned = {**TUNED, "trials": [{**trial, "figures": hostile}, {**trial, "figures": flood}]}
    first, second = told(tuned=tuned).trials
    assert first.metrics == {"_/_/x": 1.0, "a/_/b": 2.0, "_____": 3.0}
    assert len(second.metrics) == 500
    long = told(tuned={**TUNED, "parameters": {"p" * 999: "v" * 9999}})
    ((name, value),) = long.params.items()
    assert (len(name), len(value)) == (250, 500)


def test_a_models_own_figures_neither_pass_for_a_gates_nor_crowd_them_out():
    document = full()
    flood = {f"val_{number}": 1.0 for number in range(10_000)}
    lies = {"fairness/equal_opportunity_difference": 0.0, "robustness/robust_accuracy": 0.99}
    document["facts"] |= {"metrics": {**flood, **lies}, "parameters": {"train.epochs": 900}}
    found = told(("sha256:1", document))
    assert found.params["train.epochs"] == "3"
    assert found.metrics["robustness/robust_accuracy"] == 0.5
    assert "fairness/equal_opportunity_difference" not in found.metrics
    assert len(found.metrics) == 500


def test_a_server_that_never_answers_is_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Server.of(f"http://127.0.0.1:{silent.getsockname()[1]}", {})
        with pytest.raises(DeadlineError, match="had not taken it after 0.3 s"):
            tracking.send(server, told(), seconds=0.3)


def test_a_server_that_is_down_fails_no_run_and_no_credential_is_told(tmp_path, capsys):
    store = Store(tmp_path / "store")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    secret = {"tracking-uri": f"http://127.0.0.1:{port}", "username": "me", "password": "hunter2"}
    for key, value in secret.items():
        (tmp_path / key).write_text(value)
    words = (store.root.as_uri(), "tiny-1", "tiny", "c" * 40, store.put_json(TUNED), "None")
    track.main(*words, server=tmp_path)
    said = capsys.readouterr()
    assert "not tracked: the tracker did not take it: " in said.err
    assert "hunter2" not in said.out + said.err
    track.main(*words, server=None)
    assert capsys.readouterr().out == "nothing is tracked: no tracker is named\n"
