"""Templates: params into objects, deterministic names, and no way for a value to add structure."""

import pytest

from touchstone.events.bindings import pasted
from touchstone.events.templates import params_used, render

TEMPLATE = {
    "metadata": {"generateName": "model-", "labels": {"$(tt.params.key)": "$(uid)"}},
    "spec": {"params": [{"value": "a-$(tt.params.x)-$(tt.params.x)"}], "count": 3, "on": True},
}
PARAMS = {"x": "1", "key": "k"}


def test_params_and_uid_are_put_into_every_string_and_other_values_stay():
    (made,) = render([TEMPLATE], PARAMS, seed="event")
    assert made["spec"] == {"params": [{"value": "a-1-1"}], "count": 3, "on": True}
    assert len(made["metadata"]["labels"]["k"]) == 36


def test_equal_seeds_give_equal_objects_and_the_template_is_not_changed():
    assert render([TEMPLATE], PARAMS, seed="e") == render([TEMPLATE], PARAMS, seed="e")
    assert TEMPLATE["metadata"]["generateName"] == "model-"


def test_names_differ_between_events_and_within_one():
    made = [*render([TEMPLATE, TEMPLATE], PARAMS, seed="a"), *render([TEMPLATE], PARAMS, seed="b")]
    assert len({item["metadata"]["name"] for item in made}) == 3


def test_a_fixed_name_is_kept():
    (made,) = render([{"metadata": {"name": "fixed"}}], {}, seed="a")
    assert made["metadata"] == {"name": "fixed"}


@pytest.mark.parametrize("value", ['"}, "x": {"', "a\nb: c", "$(tt.params.key)", "$(uid)", "\\"])
def test_a_value_stays_one_string_whatever_it_holds(value):
    (made,) = render([TEMPLATE], {"x": pasted([value]), "key": "k"}, seed="event")
    written = value.replace("$(", "$$(")  # a run must not take it for a variable
    assert made["spec"]["params"] == [{"value": f"a-{written}-{written}"}]
    assert set(made) == {"metadata", "spec"}


@pytest.mark.parametrize("value", ['{"k":"v"}', '["a"]', '", "x": "y', "a\nb", '"', "\\"])
def test_a_value_that_would_break_out_of_its_string_is_refused(value):
    with pytest.raises(ValueError, match="does not fit"):
        render([TEMPLATE], {"x": value, "key": "k"}, seed="event")


def test_the_annotation_for_old_templates_escapes_quotes():
    (made,) = render([TEMPLATE], {"x": '{"k":"v"}', "key": "k"}, seed="event", old_escape=True)
    assert made["spec"]["params"] == [{"value": 'a-{"k":"v"}-{"k":"v"}'}]


def test_params_used_are_found_in_keys_and_values():
    assert params_used(TEMPLATE) == {"x", "key"}
