"""A watch goes on through all that ends it, and misses and repeats nothing."""

import threading

import pytest
from kube_api import pipeline_run, status, until

from touchstone.cluster.connect import PIPELINE_RUNS, ApiError
from touchstone.cluster.watching import Changed, Listed, changes


@pytest.fixture
def seen(api, monkeypatch):
    """What a watch of runs tells, by name and reason; a list as its names."""
    monkeypatch.setattr("touchstone.cluster.watching._FIRST_WAIT", 0.01)
    found, stop = [], threading.Event()

    def watch():
        for news in changes(api.cluster, PIPELINE_RUNS, stop=stop):
            if isinstance(news, Listed):
                found.append(sorted(item["metadata"]["name"] for item in news.items))
            elif isinstance(news, Changed):
                reason = news.item["status"]["conditions"][0]["reason"]
                found.append((news.item["metadata"]["name"], "gone" if news.gone else reason))

    api.put("pipelineruns", pipeline_run("a", status()))
    threading.Thread(target=watch, daemon=True).start()
    until(lambda: found)
    yield found
    stop.set()


def test_what_is_there_comes_first_then_each_change(api, seen):
    api.put("pipelineruns", pipeline_run("b", status()))
    api.put("pipelineruns", pipeline_run("a", status(True)))
    api.remove("pipelineruns", "b")
    until(lambda: len(seen) == 4)
    assert seen == [["a"], ("b", "Running"), ("a", "Succeeded"), ("b", "gone")]


def test_a_connection_that_breaks_within_an_event_loses_none(api, seen):
    until(lambda: any("watch" in query for _, _, query in api.asked))
    api.cut_watches = 2
    api.put("pipelineruns", pipeline_run("b", status()))
    api.put("pipelineruns", pipeline_run("b", status(True)))
    until(lambda: len(seen) == 3)
    assert seen == [["a"], ("b", "Running"), ("b", "Succeeded")]


def test_what_went_while_the_version_was_forgotten_is_missing_in_the_new_list(api, seen):
    until(lambda: any("watch" in query for _, _, query in api.asked))
    with api.changed:
        api.cut_watches = 1
        api.put("pipelineruns", pipeline_run("b", status()))
        api.put("pipelineruns", pipeline_run("c", status()))
        del api.objects["pipelineruns", "a"]
        api.oldest = api.version + 2
    until(lambda: ["b", "c"] in seen)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refusal_ends_it(api, code):
    api.refused["pipelineruns"] = code
    with pytest.raises(ApiError, match=f"answered {code}"):
        next(changes(api.cluster, PIPELINE_RUNS))


def test_an_api_that_is_gone_for_too_long_ends_it(api, monkeypatch):
    monkeypatch.setattr("touchstone.cluster.watching._FIRST_WAIT", 0.01)
    found = changes(api.cluster, PIPELINE_RUNS, patience=0.05)
    assert isinstance(next(found), Listed)
    api.refused["pipelineruns"] = 503
    with pytest.raises(ApiError, match="answered 503"):
        next(found)
