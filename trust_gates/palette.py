"""What does a colour mean? The same in every picture and on every page of a report.

The hues are those of Okabe and Ito, "Color Universal Design" (2008), which people with any kind of
colour blindness tell apart. No meaning rests on colour alone: a line style, a hatch, a mark or a
word says it as well.
"""

MEASURED = "#0072b2"
"""What the model itself did."""

REQUIRED = "#009e73"
"""What is asked of it, and what meets that."""

MISSED = "#d55e00"
"""What misses it."""

BESIDE = "#6e6e6e"
"""What it is compared with: chance, another attack, a limit."""

FOR, AGAINST = "#762a83", "#8c510a"
"""What speaks for a decision, and against it."""

HATCH = "////"
"""Laid over what is about a protected attribute."""


def two_sided() -> object:
    """A matplotlib colour map from `AGAINST` over white to `FOR`."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("for-against", [AGAINST, "#ffffff", FOR])
