"""Those who write at the same moment share one commit, and nobody fails for another's sake."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from touchstone.runs.grouped import Grouped
from touchstone.runs.store import State


def test_what_gathers_while_one_is_at_work_is_done_together():
    begun, go_on = threading.Event(), threading.Event()
    groups = []

    def work(items):
        groups.append(sorted(items))
        if len(groups) == 1:
            begun.set()
            assert go_on.wait(10)
        return [item * 2 for item in items]

    grouped = Grouped(work)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(grouped, 0)
        assert begun.wait(10)
        rest = [pool.submit(grouped, number) for number in range(1, 9)]
        while len(grouped._queue) < 8:
            pass
        go_on.set()
        assert [one.result(10) for one in (first, *rest)] == [number * 2 for number in range(9)]
    assert groups == [[0], list(range(1, 9))]


def test_one_that_cannot_be_done_fails_alone():
    def work(items):
        if 3 in items:
            raise ValueError(f"got {len(items)}")
        return items

    grouped = Grouped(work)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(grouped, number) for number in range(8)]
        for number, future in enumerate(futures):
            if number == 3:
                with pytest.raises(ValueError, match="got 1"):
                    future.result(10)
            else:
                assert future.result(10) == number


def test_deliveries_of_one_moment_are_each_stored_once(tmp_path):
    state = State(tmp_path)

    def store(number):
        return state.add_event(source="s", event_id=str(number // 2), headers={}, body=b"{}")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(store, range(200)))
    stored = [answer for answer in answers if answer is not None]
    assert len(stored) == len(set(stored)) == 100
    assert {event.event_id for event in state.pending_events()} == set(map(str, range(100)))
