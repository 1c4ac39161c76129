"""How far the work is travels as one line of text, to whoever listens and to nobody else."""

import threading

import pytest

from trust_gates import progress


def test_a_line_that_is_written_is_found_again():
    line = progress.line("trial", 3, 8, "best val_accuracy=0.73")
    assert line == "trial 3/8 best val_accuracy=0.73"
    assert progress.is_told(line) and progress.is_told(progress.line("epoch", 1, 2))


@pytest.mark.parametrize(
    "line",
    ["", "3/8", "ok: accuracy: got 0.73", "x" * 99 + " 1/2", "at 2026/11/24", "a 1/2x", "a -1/2"],
)
def test_other_lines_are_no_progress(line):
    assert not progress.is_told(line)


def test_what_was_measured_cannot_end_the_line():
    assert progress.line("trial", 1, 2, "a\x1b[2J\nerror: b") == "trial 1/2 a\\u001b[2J error: b"


def test_only_who_listens_hears_it_and_only_meanwhile():
    heard = []
    progress.tell("sample", 1, 9)
    with progress.heard_by(heard.append):
        progress.tell("sample", 2, 9, "hold")
        other = threading.Thread(target=progress.tell, args=("sample", 3, 9))
        other.start()
        other.join()
    progress.tell("sample", 4, 9)
    assert heard == ["sample 2/9 hold"]
