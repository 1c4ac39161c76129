"""A picture shows names of others as they are."""

from matplotlib.figure import Figure

from trust_gates.explainability.pictures import bars
from trust_gates.png import literal, png


def test_names_with_dollar_signs_are_no_formulas():
    figure = Figure()
    text = figure.text(0.5, 0.5, literal("$x^$ for $5"))
    assert text._preprocess_math(text.get_text()) == ("$x^$ for $5", False)
    assert png(figure).startswith(b"\x89PNG")
    assert bars([["$x^$"]], [[1.0]], ["$y_$"]).startswith(b"\x89PNG")
