"""Touchstone: from a git push to a reviewed, attested and served model."""

__version__ = "0.1.0"
