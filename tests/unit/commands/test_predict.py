"""`predict --input` shows what a served model answers, a line each, and what it does not take."""

import json
import shlex
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.delivery import sample
from touchstone.errors import PlatformError, UsageError
from touchstone.home import Home

TENSOR = {"name": "input", "datatype": "FP32", "shape": [-1, 2], "parameters": {"low": 0}}
ANSWERS = {
    "number": {"value": 3.14159265},
    "classes": {"label": "y\x1bes", "probabilities": {"no": 0.1, "y\x1bes": 0.9}},
    "boxes": {"boxes": [[1.2, 2, 3, 4]], "labels": ["car"], "scores": [0.5]},
    "attacked": {"value": 1.0, "adversarial": True, "adversarial_score": 0.99},
}


class _Model(BaseHTTPRequestHandler):
    """Answers each input as its model's name says; `late` is served at the third time."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        if "late" in self.path and len(self.asked) < 3:
            return self._say(503, {"error": "its revision is starting"})
        return self._say(200, {"inputs": [TENSOR]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "inputs" in body:
            return self._say(200, {"outputs": []})
        if body["instances"] == [[0, 9]]:
            return self._say(400, {"error": "got 9 at [0][1]\x1b, expected a number from 0"})
        name = self.path.rpartition("/")[2].removesuffix(":predict")
        answer = ANSWERS.get(name, {"value": 1})
        return self._say(200, {"predictions": [answer for _ in body["instances"]]})

    def _say(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-touchstone-version", "abc")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def predict(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    Home(tmp_path / "home").make()
    server = HTTPServer(("127.0.0.1", 0), _Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serving = {"serving": f"http://127.0.0.1:{server.server_port}"}
    monkeypatch.setattr(Home, "platform", lambda self: serving)
    monkeypatch.setattr(sample, "released", lambda *_: None)
    _Model.asked = []

    def run(*arguments):
        result = CliRunner().invoke(_app(), ["predict", *arguments])
        if result.exception:
            raise result.exception
        return result.stdout

    yield run
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("number", "3.14159"),
        ("classes", r"y\u001bes (90% sure)"),
        ("boxes", "car (50% sure) at 1, 2, 3, 4"),
        ("attacked", "1, flagged by its evasion detector"),
    ],
)
def test_each_answer_is_a_line_and_the_last_line_asks_again(predict, model, line):
    first, *lines, again = predict(model, "--input", "[[0, 1], [1, 1]]").splitlines()
    assert first == f"{model} abc answers:"
    assert lines == [line, line]
    curl = shlex.split(again.removeprefix("again: "))
    assert curl[0] == "curl"
    asked = Path(curl[-1].removeprefix("@")).read_text()
    assert json.loads(asked) == {"instances": [[0, 1], [1, 1]]}


def test_json_is_the_servers_answer_and_so_is_one_to_the_protocols_own_body(predict):
    answer = json.loads(predict("number", "--json", "--input", "[0, 1]"))
    assert answer == {"predictions": [ANSWERS["number"]]}
    assert json.loads(predict("number", "--input", '{"inputs": [{}]}')) == {"outputs": []}


def test_a_model_that_starts_is_waited_for_and_after_that_said_not_to_be_served(predict):
    assert predict("late", "--input", "[0, 1]").startswith("late abc answers:\n1\n")
    _Model.asked = []
    with pytest.raises(PlatformError, match="answered 503, expected 200: its revision is starting"):
        predict("late", "--wait", "0", "--input", "[0, 1]")


def test_what_the_model_does_not_take_is_the_askers_mistake(predict):
    with pytest.raises(UsageError, match=r"refuses the input: got 9 at \[0\]\[1\]\\u001b,"):
        predict("number", "--input", "[0, 9]")
    with pytest.raises(UsageError, match="got --sample and --input, expected one of them"):
        predict("number", "--input", "[0, 1]", "--sample", "1")
