"""May a promotion change these files? Only those of its model's folder, in one environment."""

from __future__ import annotations

import re
from collections.abc import Sequence

from touchstone.delivery.gitops import ENVIRONMENTS
from touchstone.documents.naming import LABEL
from touchstone.errors import TouchstoneError


def environment(changed: Sequence[str], model: str) -> str:
    """The environment whose folder of the model holds all `changed` paths.

    The names are DNS labels, so no model is called as a file of people is.

    Raises:
        TouchstoneError: something else is changed too, or nothing is.
    """
    pattern = rf"{ENVIRONMENTS}/({LABEL.pattern})/{re.escape(model)}/[^/]+"
    matches = [re.fullmatch(pattern, path) for path in changed]
    environments = {match[1] for match in matches if match}
    if len(environments) != 1 or not all(matches) or not LABEL.fullmatch(model):
        raise TouchstoneError(
            f"it changes {', '.join(changed) or 'nothing'}, expected only files of one"
            f" {ENVIRONMENTS}/<environment>/{model}",
            hint="only people change environment.yaml, people.yaml and what is not of the model",
        )
    return environments.pop()
