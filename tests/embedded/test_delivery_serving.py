"""Merged releases are served by KServe's own server, verified first, switched when ready."""

import json
import signal
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from delivery_platform import COMMIT, make_platform
from linear_model import INPUT, model_tree
from model_servers import scripted

from touchstone.delivery import serve
from touchstone.delivery.proxy import REQUEST_SECONDS
from touchstone.delivery.serve import Serving
from touchstone.delivery.sync import Outcome, Sync
from touchstone.errors import PlatformError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A platform, its serving and sync, and the proxy's URL; one for all tests of this file."""
    root = tmp_path_factory.mktemp("world")
    platform = make_platform(root)
    serving = Serving(root / "home", 0)
    sync = Sync(
        platform.gitops, store=platform.store, public_key=platform.keys.public, serving=serving
    )
    serving.start()
    platform.serving, platform.sync, platform.url = serving, sync, serving.url
    yield platform
    serving.stop()


def release(world, commit, bias):
    """Promote and merge a version whose model answers by `bias`."""
    from dataclasses import replace

    candidate = world.candidate(commit=commit)
    tree = model_tree(world.root / f"model-{commit[:6]}", bias)
    model = world.store.put(tree)
    verdict = world.store.get_json(candidate.digests.verdict) | {"model": model}
    digests = candidate.digests.model_copy(
        update={"model": model, "verdict": world.store.put_json(verdict)}
    )
    world.promote(replace(candidate, digests=digests))
    world.approve(commit[:12])
    return model


def ask(world, path="/v1/models/tiny:predict", body=None, **headers):
    body = {"instances": [INPUT]} if body is None else body
    content = body if isinstance(body, bytes) else json.dumps(body)
    headers = {"content-type": "application/json", **headers}
    return httpx.post(world.url + path, content=content, headers=headers, timeout=30)


def yes(world, label=1):
    return ask(world).json()["predictions"][0]["probabilities"][("no", "yes")[label]]


def test_before_the_first_release_the_proxy_says_so(world):
    answer = ask(world)  # main was not read yet: what it says is not known
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert world.sync.step() == []
    answer = ask(world)
    error = "got POST /v1/models/tiny:predict: no such model is served; GET / lists those that are"
    assert (answer.status_code, answer.json()) == (404, {"error": error})


def test_a_merged_release_is_served_in_both_protocols(world):
    release(world, COMMIT, 2.0)
    (event,) = world.sync.step()
    assert str(event) == f"staging/tiny {COMMIT[:12]} served"
    assert world.sync.step() == []
    answer = ask(world)
    assert answer.headers["x-touchstone-version"] == COMMIT[:12]
    (prediction,) = answer.json()["predictions"]
    assert prediction["label"] == "yes"
    assert prediction["probabilities"]["yes"] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-5)

    tensor = {"name": "input", "shape": [2, 3], "datatype": "FP32", "data": INPUT * 2}
    answer = ask(world, "/staging/v2/models/tiny/infer", {"inputs": [tensor]})
    outputs = {one["name"]: one for one in answer.json()["outputs"]}
    assert outputs["label"]["data"] == [1, 1]
    assert outputs["probabilities"]["shape"] == [2, 2]
    for path in ("/v2/models/tiny/ready", "/v1/models/tiny", "/v2/models/tiny"):
        assert httpx.get(world.url + path).status_code == 200
    metadata = httpx.get(world.url + "/v2/models/tiny").json()
    assert metadata["inputs"][0]["shape"] == [-1, 3]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/JSON", ""])
def test_the_content_type_of_json_may_be_spelled_in_any_way(world, kind):
    assert ask(world, **{"content-type": kind}).status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"instances": [[1, 2]]}, "got inputs of shape (1, 2), expected (N, 3)"),
        ({"instances": []}, "expected (N, 3)"),
        ({"instances": [[1, 1, "x"]]}, "not one array of numbers"),
        ({"instances": [[0, 0.5, 1.5]]}, "row 1, feature 'c': got 1.5, expected a number from 0"),
        ({"instances": [{"a": 0, "b": 0}]}, "row 1: got no 'c', expected a number for each of"),
        (b'{"instances": [[NaN, 0, 0]]}', "got a body that is no JSON"),
        (b'{"instances": ' + b"[" * 100_000, "got a body that is no JSON"),
        (b"", "got a body that is no JSON"),
        ({"inputs": [[1, 2, 3]]}, "got no instances"),
    ],
)
def test_bad_input_is_a_400_that_says_what_was_expected(world, body, reason):
    answer = ask(world, body=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "input-0"}, "of them 'input-0', expected values named a, b, c; or 'input'"),
        ({"datatype": "BYTES"}, "got datatype BYTES, expected FP32"),
        ({"shape": [3, 1]}, "got inputs of shape (3, 1), expected (N, 3)"),
        ({"shape": [2**40, 2**40]}, "expected as many as shape [1099511627776, 1099511627776]"),
        ({"data": [None, 0, 0]}, "got null, expected a number"),
        ({"parameters": {"binary_data_size": 12}}, "expected either data or"),
    ],
)
def test_a_bad_tensor_is_a_400_too(world, changes, reason):
    tensor = {"name": "input", "shape": [1, 3], "datatype": "FP32", "data": INPUT} | changes
    answer = ask(world, "/v2/models/tiny/infer", {"inputs": [tensor]})
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_tensors_may_be_binary_both_ways_and_outputs_chosen(world):
    tensor = {"name": "input", "shape": [1, 3], "datatype": "FP32"}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps(
        {"inputs": [{**tensor, "parameters": {"binary_data_size": 12}}], "outputs": [wanted]}
    ).encode()
    length = {"inference-header-content-length": str(len(head))}
    body = head + np.array(INPUT, dtype="<f4").tobytes()
    answer = ask(world, "/v2/models/tiny/infer", body, **length)
    told = int(answer.headers["inference-header-content-length"])
    (output,) = json.loads(answer.content[:told])["outputs"]
    assert (output["name"], output["shape"]) == ("probabilities", [1, 2])
    found = np.frombuffer(answer.content[told:], dtype="<f4")
    assert found.tolist() == pytest.approx([yes(world, 0), yes(world, 1)])
    answer = ask(world, "/v2/models/tiny/infer", body + b"x", **length)
    assert (answer.status_code, "after the last tensor" in answer.text) == (400, True)


def test_metadata_of_both_protocols_say_what_a_client_needs(world):
    for path in ("/v1/models/tiny", "/v2/models/tiny"):
        found = httpx.get(world.url + path).json()
        assert (found["name"], found["task"]) == ("tiny", "classification")
        assert found["inputs"][0]["parameters"]["features"] == ["a", "b", "c"]
        assert found["outputs"][0]["parameters"]["classes"] == ["no", "yes"]


def test_as_many_rows_as_may_be_are_answered_and_one_more_is_refused(world):
    answer = ask(world, body={"instances": [INPUT] * 20_000})
    assert len(answer.json()["predictions"]) == 20_000
    answer = ask(world, body={"instances": [INPUT] * 100_001})
    assert (answer.status_code, "send parts" in answer.text) == (400, True)


def test_other_paths_and_environments_are_not_reached(world):
    assert httpx.post(world.url + "/v2/repository/models/tiny/unload").status_code == 404
    assert ask(world, "/v3/models/tiny:predict").status_code == 404
    assert ask(world, "/production/v1/models/tiny:predict").status_code == 404


def test_the_server_listens_on_no_port_and_its_socket_is_ours_alone(world):
    import psutil

    (status,) = world.serving.status()
    process = psutil.Process(status["pid"])
    assert process.connections(kind="inet") == []
    (listening,) = {c.laddr for c in process.connections(kind="unix") if c.laddr}
    folder = Path(listening).parent
    assert [one.stat().st_mode & 0o777 for one in (folder, folder.parent)] == [0o700, 0o700]


def test_a_new_release_takes_over_without_a_failed_request(world):
    before = world.serving.status()[0]["pid"]
    release(world, "2" * 40, -2.0)
    codes, done = [], threading.Event()

    def ask_all_the_time():
        while not done.is_set():
            codes.append(ask(world).status_code)

    thread = threading.Thread(target=ask_all_the_time)
    thread.start()
    (event,) = world.sync.step()
    done.set()
    thread.join()
    assert (event.outcome, event.version) == (Outcome.SERVED, "2" * 12)
    assert set(codes) == {200}
    assert yes(world) < 0.2
    assert world.serving.status()[0]["pid"] != before


def test_a_tampered_report_on_main_is_refused_and_the_version_before_goes_on(world):
    world.change("main", "environments/staging/tiny/trust-report.md", b"# fine\n")
    (event,) = world.sync.step()
    assert event.outcome is Outcome.REFUSED
    assert "trust-report.md: got sha256" in event.reason
    assert event.reason.endswith("222222222222 goes on serving")
    assert yes(world) < 0.2
    assert world.sync.step() == []


def test_a_tampered_model_in_the_store_is_refused(world):
    model = release(world, "3" * 40, 3.0)
    entry = world.store.get_json(model)["entries"]["model.safetensors"]["digest"]
    blob = world.store.root / "blobs" / "sha256" / entry.removeprefix("sha256:")
    blob.write_bytes(b"forged")
    (event,) = world.sync.step()
    assert event.outcome is Outcome.REFUSED
    assert "has other bytes than its name says" in event.reason
    assert yes(world) < 0.2


def test_a_crashed_server_is_started_again(world):
    import os

    os.kill(world.serving.status()[0]["pid"], signal.SIGKILL)
    while world.serving.current("staging", "tiny"):
        time.sleep(0.01)
    assert ask(world).status_code == 503
    (event,) = world.sync.step()
    assert event.outcome is Outcome.RESTARTED
    assert yes(world) < 0.2


def test_a_removed_folder_ends_serving(world):
    from touchstone.delivery import gitops

    with gitops.clone(world.gitops) as checkout:
        checkout.git("rm", "-rq", "environments/staging/tiny")
        checkout.commit("Retire tiny", {"By": "hand"})
        checkout.push("HEAD:refs/heads/main")
    (event,) = world.sync.step()
    assert event.outcome is Outcome.REMOVED
    assert ask(world).status_code == 404


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1 << 24), True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"H", False),
        (b"", False),
    ],
)
def test_of_a_models_word_that_it_is_ready_no_more_than_the_status_is_read(tmp_path, answer, ready):
    started = time.monotonic()
    with scripted(tmp_path, answer) as (target, _):
        assert serve._says_ready(target.socket, "tiny") is ready
    assert time.monotonic() - started < 2


def test_the_sockets_of_a_killed_platform_are_removed_by_the_next(tmp_path):
    Serving(tmp_path, 0)
    left = (tmp_path / "sockets").readlink()
    assert left.stat().st_mode & 0o777 == 0o700
    serving = Serving(tmp_path, 0)
    assert not left.exists()
    serving.stop()
    assert not (tmp_path / "sockets").exists()


def test_a_folder_with_a_name_that_is_no_word_is_refused_before_anything_starts(tmp_path):
    serving = Serving(tmp_path / "home", 0)
    with pytest.raises(PlatformError, match="got the name 'a b', expected letters"):
        serving.apply("a b", "tiny", tmp_path, "1")
    assert serving.status() == []
    serving.stop()


@pytest.mark.long
def test_of_2000_predictions_through_four_switches_of_real_servers_none_fails(tmp_path):
    trees = [model_tree(tmp_path / f"model-{number}", float(number)) for number in range(5)]
    serving = Serving(tmp_path / "home", 0)
    serving.start()
    answers, done = [], threading.Event()

    def ask_all_the_time(fresh):
        headers = {"connection": "close"} if fresh else {}
        with httpx.Client(timeout=60) as client:
            while not done.is_set():
                url = serving.url + "/v1/models/tiny:predict"
                answers.append(client.post(url, json={"instances": [INPUT]}, headers=headers))

    try:
        serving.apply("staging", "tiny", trees[0], "v0")
        clients = [threading.Thread(target=ask_all_the_time, args=(i % 2,)) for i in range(4)]
        for client in clients:
            client.start()
        pids = {serving.status()[0]["pid"]}
        for number, tree in enumerate(trees[1:], 1):
            asked = len(answers)
            pids.add(serving.apply("staging", "tiny", tree, f"v{number}").server.pid)
            while len(answers) < asked + 500:
                time.sleep(0.05)
        time.sleep(REQUEST_SECONDS + 5)  # the revisions before end while clients go on asking
        done.set()
        for client in clients:
            client.join()
        running = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        assert running == [serving.status()[0]["pid"]]
    finally:
        done.set()
        serving.stop()
    assert [one.text for one in answers if one.status_code != 200] == []
    assert len(answers) >= 2000
    seen = {one.headers["x-touchstone-version"] for one in answers}
    assert seen == {"v0", "v1", "v2", "v3", "v4"}
    for one in answers:  # each by the model of the version that it names
        bias = float(one.headers["x-touchstone-version"][1:])
        (prediction,) = one.json()["predictions"]
        expected = 1 / (1 + np.exp(-bias))
        assert prediction["probabilities"]["yes"] == pytest.approx(expected, abs=1e-5)
