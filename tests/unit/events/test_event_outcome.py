"""What came of an event is one sentence, whatever the triggers are."""

from touchstone.events.evaluate import Explanation, Step
from touchstone.events.outcome import Outcome, details, relevant, sentence


def explained(
    trigger: str, *, passed: int = 0, told: str = "", name: str = "", elsewhere: bool = False
) -> Explanation:
    steps = [Step(what=f"step {number}", passed=True, notes=()) for number in range(passed)]
    made = {"kind": "PipelineRun", "metadata": {"name": name}, "spec": {}}
    return Explanation(
        trigger=trigger,
        group="",
        reason=told and f"step {passed}: {told}",
        told=told,
        elsewhere=elsewhere,
        steps=tuple(steps),
        objects=(made,) if name else (),
    )


def outcomes(*found: Explanation) -> list[Outcome]:
    return relevant(found)


def test_what_was_started_is_said_whatever_else_stopped():
    found = outcomes(explained("a", told="no"), explained("b", name="m-1"))
    assert sentence(found) == "started m-1"
    assert details(found) == "a: nothing started, step 0: no; b: created PipelineRun m-1"


def test_the_trigger_that_came_nearest_says_why_nothing_was():
    found = outcomes(
        explained("other-forge", told="event type push is not allowed"),
        explained("push", passed=2, told="only the default branch, main, starts a run"),
        explained("tag", passed=1, told="this is no tag"),
    )
    assert sentence(found) == "nothing started: only the default branch, main, starts a run"


def test_what_cannot_be_kept_as_a_run_is_a_reason_too():
    found = outcomes(explained("a", passed=3, name="No_Name"))
    assert sentence(found).startswith("nothing started: got the name 'No_Name', expected lower")
    assert found[0].runs == ()


def test_where_no_trigger_listens_that_is_the_reason():
    assert sentence([]) == "nothing started: no trigger listens"


def test_triggers_that_an_event_is_not_for_have_no_say_while_others_have():
    other = explained("comment", passed=9, told="the event type is for others", elsewhere=True)
    push = explained("push", told="only the default branch, main, starts a run")
    assert sentence(outcomes(other, push)) == f"nothing started: {push.told}"
    assert details(outcomes(other, push, push)) == f"push: nothing started, step 0: {push.told}"
    assert sentence(outcomes(other)) == f"nothing started: {other.told}"
