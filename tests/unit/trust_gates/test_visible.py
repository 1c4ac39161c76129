"""Text of others stays text, wherever it is shown."""

import io
import json
import re
import sys

import pytest

from trust_gates.visible import console, escape, guard_output, one_line, visible

HOSTILE = "a\x1b[31mb\x9b2Jc\x07\x7f\r\b\x1b]0;title\x07\u202egnp.exe\u2066\udc9b"
SHOWN = (
    r"a\u001b[31mb\u009b2Jc\u0007\u007f\u000d\u0008\u001b]0;title\u0007\u202egnp.exe\u2066\udc9b"
)
HIDDEN = re.compile("[^\n\t\x20-\x7e\xa0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\U0010ffff]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[io.StringIO, Terminal], ids=["pipe", "terminal"])
def stdout(request, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def replaced():  # called by the test: before it runs, pytest puts its own streams there
        monkeypatch.setattr(sys, "stdout", stream := request.param())
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        guard_output()
        return stream

    return replaced


def test_every_control_character_but_tab_and_line_end_is_visible():
    assert visible(HOSTILE) == SHOWN
    everything = "".join(map(chr, range(0x3000)))
    assert not HIDDEN.search(visible(everything))
    assert visible("é\t漢\n✓ a\xa0b") == "é\t漢\n✓ a\xa0b"


def test_a_json_document_means_the_same_afterwards():
    document = {"text": HOSTILE.removesuffix("\udc9b")}
    for ascii_only in (True, False):
        assert json.loads(visible(json.dumps(document, ensure_ascii=ascii_only))) == document


def test_what_is_printed_is_visible_on_a_terminal_and_in_a_pipe(stdout):
    import typer

    stream = stdout()
    typer.echo(HOSTILE, color=True)
    sys.stdout.writelines([HOSTILE, "\n"])
    assert stream.getvalue() == f"{SHOWN}\n" * 2


def test_output_is_guarded_once_and_has_no_way_round(stdout):
    stream = stdout()
    guard_output()
    sys.stdout.write("\x1b")
    assert stream.getvalue() == r"\u001b"
    assert not hasattr(sys.stdout, "buffer")


@pytest.mark.parametrize("kind", ["text", "styled", "table", "tree", "markdown", "live"])
def test_richs_renderings_of_hostile_text_hold_no_escape_of_its_own(stdout, kind):
    from rich.live import Live
    from rich.markdown import Markdown
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    stream, screen = stdout(), console()
    hostile = "[link=http://evil]x[/link] \x1b]8;;http://evil\x1b\\y \x9b31m\u202ez"
    if kind in ("table", "live"):
        shown = Table(title=hostile)
        shown.add_column(hostile, no_wrap=True)
        shown.add_row(hostile)
        shown.add_row(Text(hostile, style="red"))
    elif kind == "tree":
        shown = Tree(hostile)
        shown.add(Text(hostile))
    elif kind == "markdown":
        text = visible(f"# {hostile}\n\n[name](http://evil) `{hostile}`\n")
        shown = Markdown(text, hyperlinks=False)
    else:
        shown = Text(hostile, style="red") if kind == "styled" else hostile
    if kind == "live":
        with Live(shown, console=screen):
            pass
    else:
        screen.print(shown, width=200)
    text = stream.getvalue()
    assert "evil" in text
    # rich's own: colours, and of Live the cursor's.
    own = re.sub(r"\x1b\[[\d;?]*[mKAhlG]", "", text).replace("\r", "")
    assert not HIDDEN.search(own)
    assert r"\u001b]8;;" in own


@pytest.mark.parametrize("end", [*"\n\r\v\f\x1c\x85\u2028\u2029", "\r\n"])
def test_no_line_end_begins_a_line(end):
    assert one_line(f"a{end}Reviewed-by: Boss") == "a Reviewed-by: Boss"
    assert one_line(f"  a{end}\tb\x1b ") == r"a b\u001b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n# b", "a # b"),
        ("https://evil.example", "https:<!-- -->//evil.example"),
        ("WWW.evil.example", "WWW<!-- -->.evil.example"),
        ("<!-- x -->", "&lt;!-- x -->"),
        ("\u202eab", "\\\\u202eab"),
    ],
)
def test_markdown_of_others_is_text(text, shown):
    assert escape(text) == shown
