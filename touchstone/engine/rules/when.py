"""Can these when expressions be evaluated? (when_validation.go)"""

from __future__ import annotations

from touchstone.documents.problems import Field
from touchstone.engine.language.when import check_cel
from touchstone.errors import ManifestError


def check_when(holder: Field) -> None:
    """Each is CEL that compiles and stands alone, or has an operator and values."""
    for item in holder.each("when"):
        if item.get("cel"):
            if any(item.get(name) for name in ("input", "operator", "values")):
                item.refuse("got cel and more, expected it to stand alone")
            try:
                check_cel(item.get("cel"))
            except ManifestError as error:
                item.refuse(str(error).splitlines()[0], "cel")
            continue
        for name in ("operator", "values"):
            if not item.get(name):
                item.refuse(f"got a when expression without {name}, expected it to have one")
        if "input" not in item.value:
            item.refuse("got a when expression without input, expected one", by="embedded")
