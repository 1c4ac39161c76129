"""The forge is told the truth about a commit, in words that say which check and by how much."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from delivery_platform import check

from touchstone.artifacts.store import Store
from touchstone.delivery import forges, gitops, status
from touchstone.errors import PlatformError, UsageError
from touchstone.git import git

UNFAIR = check("fairness", "equal_opportunity_difference", -0.31, "failed", -0.1, 0.1)


def verdict(*checks):
    passed = all(one["outcome"] == "passed" for one in checks)
    return {"passed": passed, "checks": list(checks)}


@pytest.mark.parametrize(
    ("run_status", "document", "state", "text"),
    [
        ("Succeeded", verdict(check()), "success", "passed all 1 checks"),
        ("Completed", verdict(check()), "success", "passed all 1 checks; a review is open"),
        ("Failed", verdict(check()), "error", "the gates passed, but the run ended Failed"),
        ("Failed", None, "error", "the run ended Failed before there was a verdict"),
        ("Succeeded", None, "error", "before there was a verdict"),
        ("Succeeded", verdict(UNFAIR), "failure", "refused by fairness"),
    ],
)
def test_the_state_follows_the_run_and_the_verdict(run_status, document, state, text):
    found = status.of_run(run_status, document)
    assert found.state == state
    assert text in found.description


def test_a_run_that_only_judges_promises_no_review():
    found = status.of_run("Completed", verdict(check()), promoted=False)
    assert found.description == "passed all 1 checks; nothing was promoted"


def test_a_pass_by_a_weak_yardstick_says_so():
    weak = {**verdict(check()), "warnings": {"robustness": ["epsilon is tiny", "1 step"]}}
    found = status.of_run("Completed", weak)
    assert found.description.endswith("; a review is open; 2 warnings about the yardstick")


def test_a_refusal_names_the_check_and_by_how_much_it_failed():
    description = status.of_run("Failed", verdict(check(), UNFAIR)).description
    assert description == (
        "refused by fairness: equal_opportunity_difference got -0.31, expected in [-0.1, 0.1]"
    )


def test_what_failed_is_named_before_what_lacks_evidence_and_where_all_of_it_stands():
    few = check("quality", "map50", 0.82, "insufficient evidence")
    description = status.of_run("Failed", {**verdict(few, UNFAIR), "run": "tiny-1"}).description
    assert description.startswith("refused by fairness: equal_opportunity_difference got -0.31")
    assert description.endswith(" and 1 more; touchstone report tiny-1")
    assert len(description) <= 140
    endless = status.of_run("Failed", {**verdict(UNFAIR), "run": "r" * 500}).description
    assert "fairness" in endless and len(endless) <= 140


def test_a_broken_metric_and_missing_samples_are_said_so():
    broken = check("quality", "map50", None, "failed")
    assert "map50 got NaN, expected >= 0.8" in status.of_run("Failed", verdict(broken)).description
    few = check("quality", "map50", 0.82, "insufficient evidence") | {"samplesNeeded": 900}
    assert "needs about 900 samples" in status.of_run("Failed", verdict(few)).description


def test_a_description_fits_into_what_github_takes():
    many = [check("fairness", "m" * 200, 0.1, "failed") for _ in range(12)]
    description = status.of_run("Failed", verdict(*many)).description
    assert len(description) == 140
    assert description.endswith(" and 11 more")


@pytest.fixture
def repository(tmp_path):
    gitops.create(tmp_path / "model.git")
    return tmp_path / "model.git"


def test_an_embedded_status_is_a_note_on_the_commit(repository):
    commit = git("rev-parse", "main", cwd=repository)
    first = status.Status(state="pending", description="running")
    second = status.Status(state="success", description="passed", target_url="http://x/1")
    other = status.Status(state="error", description="down", context="other")
    for one in (first, other, second):
        status.post(repository.as_uri(), commit, one)
    assert status.read(repository, commit) == [other, second]
    note = git("notes", "--ref=touchstone-status", "show", commit, cwd=repository)
    assert json.loads(note.splitlines()[-1])["context"] == "touchstone"


@pytest.mark.parametrize("line", ["{", "[]", '{"state": 1}', "null", "[" * 100_000])
def test_a_malformed_note_keeps_no_status_from_a_commit(repository, line):
    commit = git("rev-parse", "HEAD", cwd=repository)
    git("notes", f"--ref={status.NOTES}", "add", "--file=-", commit, cwd=repository, data=line,
        env=gitops.TOUCHSTONE.environment)  # fmt: skip
    assert status.read(repository, commit) == []
    status.post(repository.as_uri(), commit, status.Status(state="success", description="fine"))
    assert [one.description for one in status.read(repository, commit)] == ["fine"]


def test_a_commit_without_a_status_has_none(repository):
    assert status.read(repository, "f" * 40) == []


def test_statuses_of_several_runs_at_once_are_all_kept(repository):
    commit = git("rev-parse", "main", cwd=repository)
    errors = []

    def put(number):
        one = status.Status(state="success", description="ok", context=f"run-{number}")
        try:
            status.post(repository.as_uri(), commit, one)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=put, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(status.read(repository, commit)) == 4


@pytest.fixture
def github():
    """A local server that keeps what it got and answers as GitHub does."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, dict(self.headers), json.loads(body)))
            allowed = self.headers["authorization"] == "Bearer good"
            self.send_response(201 if allowed else 403)
            self.end_headers()
            self.wfile.write(b'{"message": "Resource not accessible"}')

        def log_message(self, *arguments):
            """Keep the test's output quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()


@pytest.mark.parametrize("suffix", ["", ".git", "/"])
def test_github_gets_its_published_payload(github, suffix):
    api, got = github
    one = status.Status(state="failure", description="refused", target_url="http://x/1")
    url = f"https://github.com/owner/name{suffix}"
    status.post(url, "a" * 40, one, token="good", api=api)
    ((path, headers, body),) = got
    assert path == f"/repos/owner/name/statuses/{'a' * 40}"
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert body == {
        "state": "failure",
        "description": "refused",
        "context": "touchstone",
        "target_url": "http://x/1",
    }


def test_a_refusal_by_github_is_told_without_the_token(github):
    one = status.Status(state="success", description="passed")
    with pytest.raises(PlatformError, match="answered 403.*expected 2xx") as caught:
        status.post("https://github.com/o/n", "a" * 40, one, token="bad-secret", api=github[0])
    assert "bad-secret" not in str(caught.value) + caught.value.hint


def test_github_without_a_token_is_refused_before_anything_is_sent(github):
    one = status.Status(state="success", description="passed")
    with pytest.raises(PlatformError, match="no token"):
        status.post("https://github.com/o/n", "a" * 40, one, api=github[0])
    assert github[1] == []


_HEAD = "a" * 40


@pytest.mark.parametrize(
    ("url", "forge", "where", "proof", "body"),
    [
        (
            "https://git.example.com/group/sub/name.git",
            "gitlab",
            f"https://git.example.com/api/v4/projects/group%2Fsub%2Fname/statuses/{_HEAD}",
            {"private-token": "t"},
            {"state": "failed", "name": "touchstone", "description": "refused"},
        ),
        (
            "https://codeberg.org/o/n.git",
            "",
            f"https://codeberg.org/api/v1/repos/o/n/statuses/{_HEAD}",
            {"authorization": "token t"},
            {"state": "failure", "context": "touchstone", "description": "refused"},
        ),
        (
            "https://bitbucket.org/o/n.git",
            "",
            f"https://api.bitbucket.org/2.0/repositories/o/n/commit/{_HEAD}/statuses/build",
            {"authorization": "Bearer t"},
            {
                "key": "touchstone",
                "name": "touchstone",
                "state": "FAILED",
                "description": "refused",
                "url": f"https://bitbucket.org/o/n/commits/{_HEAD}",
            },
        ),
        (
            "https://bb.example.com:8443/ctx/scm/VISION/detector.git",
            "bitbucket",
            "https://bb.example.com:8443/ctx/rest/api/latest/projects/VISION/repos/detector"
            f"/commits/{_HEAD}/builds",
            {"authorization": "Bearer t"},
            {
                "key": "touchstone",
                "name": "touchstone",
                "state": "FAILED",
                "description": "refused",
                "url": "https://bb.example.com:8443/ctx/projects/VISION/repos/detector"
                f"/commits/{_HEAD}",
            },
        ),
        (
            "https://ghe.example.com/o/n.git",
            "github",
            f"https://ghe.example.com/api/v3/repos/o/n/statuses/{_HEAD}",
            {"authorization": "Bearer t"},
            {"state": "failure", "context": "touchstone", "description": "refused"},
        ),
    ],
)
def test_every_forge_is_asked_in_its_own_words(url, forge, where, proof, body):
    fields = {"state": "failure", "context": "touchstone", "description": "refused"}
    asked = forges.request(url, _HEAD, fields, forge=forge, token="t")
    assert asked.url == where
    assert proof.items() <= asked.headers.items()
    assert asked.body == body


@pytest.mark.parametrize(
    ("state", "gitlab", "bitbucket"),
    [
        ("success", "success", "SUCCESSFUL"),
        ("pending", "pending", "INPROGRESS"),
        ("error", "failed", "FAILED"),
    ],
)
def test_states_are_translated(state, gitlab, bitbucket):
    fields = {"state": state, "context": "c", "description": "d"}
    for forge, word in (("gitlab", gitlab), ("bitbucket", bitbucket)):
        url = "https://x.example/scm/o/n"
        body = forges.request(url, _HEAD, fields, forge=forge, token="t").body
        assert body["state"] == word


@pytest.mark.parametrize(
    "url",
    ["https://example.org/o/n", "http://github.com/o/n", "https://u:secret@forge.org/o/n", "x"],
)
def test_an_unknown_forge_is_refused_without_quoting_credentials(url):
    with pytest.raises(UsageError, match="expected") as caught:
        status.post(url, "a" * 40, status.Status(state="success", description="passed"))
    assert "secret" not in str(caught.value)


def test_a_short_commit_is_refused(repository):
    with pytest.raises(UsageError, match="full commit id"):
        status.post(
            repository.as_uri(), "abc", status.Status(state="success", description="passed")
        )


def test_a_run_ends_as_it_went_where_nobody_gave_a_token_of_the_forge(tmp_path, capsys):
    from scripts import report

    store = Store(tmp_path / "store")
    store.set_ref("runs/run-1/verdict", store.put_json({**verdict(check()), "run": "run-1"}))
    empty = tmp_path / "forge-token"  # an optional Secret that is not there
    empty.mkdir()
    report.main(
        store.root.as_uri(),
        "run-1",
        "a" * 40,
        "Succeeded",
        "Completed",
        "Succeeded",
        "https://github.com/o/n",
        forge="github",
        token_file=empty / "github",
    )
    said = capsys.readouterr().out
    assert "success: passed all 1 checks" in said
    assert "only here: got no github token" in said


def test_the_report_stage_quotes_the_verdict_of_its_run(repository, tmp_path, capsys):
    from scripts import report

    store = Store(tmp_path / "store")
    store.set_ref("runs/run-1/verdict", store.put_json({**verdict(UNFAIR), "run": "run-1"}))
    commit = git("rev-parse", "main", cwd=repository)
    uri = store.root.as_uri()
    report.main(uri, "run-1", commit, "Failed", "Failed", "None", repository.as_uri())
    (found,) = status.read(repository, commit)
    assert found.state == "failure"
    assert "equal_opportunity_difference got -0.31" in found.description
    assert "failure: refused by fairness" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("planted", "ended"),
    [
        ({**verdict(), "run": "run-1"}, "Failed"),  # it was refused
        ({**verdict(UNFAIR), "run": "run-1"}, "Succeeded"),  # it passed
        ({**verdict(), "run": "run-2"}, "Succeeded"),
        ({**verdict(UNFAIR), "run": "run-1"}, "None"),  # nobody decided yet
    ],
)
def test_a_planted_verdict_is_neither_quoted_nor_announced(
    repository, tmp_path, capsys, planted, ended
):
    from scripts import notify, report

    store = Store(tmp_path / "store")
    store.set_ref("runs/run-1/verdict", store.put_json(planted))
    uri, commit = store.root.as_uri(), git("rev-parse", "main", cwd=repository)
    report.main(uri, "run-1", commit, ended, "Failed", "None", repository.as_uri())
    (found,) = status.read(repository, commit)
    assert found.state == "error"
    assert found.description == (
        "the run ended Failed before there was a verdict; touchstone describe run-1 says why"
    )
    endless = status.of_run("Failed", None, run="r" * 100)
    assert endless.description == "the run ended Failed before there was a verdict"
    capsys.readouterr()
    notify.main(uri, "run-1", ended, "Failed", "https://example.org/m.git", "true")
    assert "dev.touchstone.model.refused" not in capsys.readouterr().out


def test_the_notify_stage_sends_one_cloud_event(tmp_path, capsys):
    from scripts import notify

    store = Store(tmp_path / "store").root.as_uri()
    notify.main(store, "run-1", "Succeeded", "Succeeded", "https://example.org/m.git", "true")
    event = json.loads(capsys.readouterr().out)
    assert (event["type"], event["id"]) == ("dev.touchstone.run.finished.v1", "run-1")
    assert event["data"] == {"run": "run-1", "status": "Succeeded"}


def test_the_notify_stage_posts_in_binary_mode(tmp_path):
    from scripts import notify

    uri = Store(tmp_path / "store").root.as_uri()
    told = (uri, "run-1", "None", "Failed", "file:///m.git", "true")
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), json.loads(body)))
            self.send_response(202 if self.path == "/" else 500)
            self.end_headers()

        def log_message(self, *arguments):
            """Keep the test's output quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    notify.main(*told, sink=url + "/")
    with pytest.raises(PlatformError, match="answered 500, expected 2xx"):
        notify.main(*told, sink=url + "/broken")
    server.shutdown()
    headers, body = got[0]
    assert headers["ce-type"] == "dev.touchstone.run.finished.v1"
    assert body == {"run": "run-1", "status": "Failed"}


def test_a_status_is_one_line_of_text():
    found = status.Status.of("error", "a\r\nb\x1b[2J\u202ec", context="touchstone")
    assert found.description == r"a b\u001b[2J\u202ec"


def test_what_validate_found_is_told_where_the_run_failed_before_training(tmp_path):
    store = Store(tmp_path)
    source = store.put_json("a tree")
    assert status.problems_of(store, "tiny-1") == []
    status.note_source(store, "tiny-1", source)
    assert status.problems_of(store, "tiny-1") == [], "nobody noted any"
    status.note_problems(store, source, ["touchstone.yaml:3:1: got a", "model.py:2: got b"])
    told = status.of_run("Failed", None, run="tiny-1", problems=status.problems_of(store, "tiny-1"))
    assert told.state == "failure"
    assert told.description == (
        "2 problems before training: touchstone.yaml:3:1: got a; touchstone describe tiny-1"
    )
    long = status.of_run("Failed", None, run="r" * 200, problems=["x" * 300]).description
    assert len(long) == 140 and long.endswith("…")
