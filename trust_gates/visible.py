"""How does text of others reach a terminal, a page or a commit's message? As text and no more.

Logs, names, reasons and payloads may hold escape sequences that repaint a terminal, signs that
turn the order of a line round, line ends that begin a commit's trailer, and Markdown. Here all of
it is made visible.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line end, DEL, C1
    "\u202a-\u202e\u2066-\u2069"  # overrides of the direction of writing
    "\ud800-\udfff]"  # bytes that were no text, as Python keeps them
)

_PLAIN = "touchstone-plain"
_SIGNS = {
    **{"✓": "+", "✗": "x", "⛔": "!!", "…": "~", "─": "-", "│": "|", "├": "+", "└": "+", "≡": "="},
    **{"“": '"', "”": '"', "’": "'", "–": "-", "—": "-", "→": ">", "≤": "<", "≥": ">"},
}
"""What is written in their place where the encoding has them not."""


def visible(text: str) -> str:
    r"""The text with every control character but tab and line end as `\u001b` and the like.

    A JSON document means the same afterwards.
    """
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def characters(text: str) -> str:
    """A YAML scalar with each pair of surrogates as the one character that JSON writes so.

    Raises:
        UnicodeError: half of a pair stands alone.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def one_line(text: str) -> str:
    """The text on one line: it ends no paragraph and begins no trailer."""
    return visible(" ".join(text.split()))


def escape(text: str) -> str:
    """The text on one line of Markdown: no markup, no link, nobody is notified."""
    text = re.sub(r"([\\|`*\[])", r"\\\1", one_line(text))
    text = re.sub(r"&(?=[#\w])", "&amp;", text)
    text = re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", text)  # "<= 0.2" opens no tag
    # An address would become a link, and a name a person who is told.
    return re.sub(r"(@|:(?=//)|\bwww(?=\.))", r"\1<!-- -->", text, flags=re.IGNORECASE)


def guard_output() -> None:
    """Make all that this process prints visible, from now on; `console` alone has styles.

    What the locale's encoding lacks is written in signs that it has, of the same width.
    """
    codecs.register_error(_PLAIN, _plainer)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Visible):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=_PLAIN)
            setattr(sys, name, _Visible(stream))


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_SIGNS.get(sign) or visible(f"\\u{ord(sign):04x}") for sign in text)
    return plain, error.end


def on_terminal(*, stderr: bool = False) -> bool:
    """Whether a person sees the output as it comes, and lines are as wide as the screen."""
    stream = sys.stderr if stderr else sys.stdout
    return stream is not None and stream.isatty()


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """rich's console for styles of our own: text stays text, without markup and with no links.

    With NO_COLOR it has no style at all: not bold, dim or underlined either.
    """
    from rich.console import Console

    class Visible(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Any]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    stream = sys.stderr if stderr else sys.stdout
    bare = stream.bare if isinstance(stream, _Visible) else stream
    return Visible(
        file=bare,
        quiet=quiet,
        markup=False,
        emoji=False,
        highlight=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


class _Visible:
    """A text stream in whose place it stands; what is written becomes visible."""

    def __init__(self, bare: TextIO) -> None:
        self.bare = bare

    def write(self, text: str) -> int:
        self.bare.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for text in lines:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # bytes would get round this
            raise AttributeError(name)
        return getattr(self.bare, name)
