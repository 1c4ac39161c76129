"""Can a step be made of this StepAction? (v1beta1/stepaction_validation.go)"""

from __future__ import annotations

from touchstone.documents.problems import Field
from touchstone.engine.language.substitute import references
from touchstone.engine.rules.params import check_params, check_results, known_params
from touchstone.engine.rules.task import check_program
from touchstone.engine.rules.variables import Names, check_step, is_whole


def check_step_action(document: Field) -> None:
    """It declares what it uses, and its script takes params through env or args."""
    action = document.at("spec")
    check_program(action, action.value)
    check_params(action)
    check_results(action)
    script = action.get("script", "")
    if any(key[0] == "params" for key in references(script)):
        action.refuse(
            "got a param in the script, expected none: Tekton pastes none into a StepAction's",
            "script",
            hint="pass it through env or args",
        )
    params, results = known_params(action.value), action.names("results")
    # Everything but params is taken from the Task around the step.
    around = Names(
        params=params,
        admitted=params,
        results=results,
        around=lambda key, _: None if key[0] == "params" else ("", "nobody"),
    )
    check_step(action, around)
    for mount in action.each("volumeMounts"):
        name = mount.get("name", "")
        if not (is_whole(name) and name.startswith("$(params")):
            mount.refuse(f"got {name!r}, expected a single $(params.NAME)", "name")
