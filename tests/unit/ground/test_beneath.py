"""Below a folder in which anyone may write, only its own files are read and written."""

import os
import socket
from pathlib import Path

import pytest

from touchstone import beneath
from touchstone.beneath import NotPlainError


@pytest.fixture
def base(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("outside")
    folder = tmp_path / "base"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "f").write_text("inside")
    return folder


def _socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # the whole path may be longer than a socket's may be
        server.bind(path.name)
        os.chdir(before)


_LEFT = {
    "link": (lambda path: path.symlink_to("../secret"), "a symbolic link"),
    "link inside": (lambda path: path.symlink_to("deep/f"), "a symbolic link"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "a symbolic link"),
    "fifo": (os.mkfifo, "a FIFO"),
    "folder": (Path.mkdir, "a folder"),
    "socket": (_socket, "a socket"),
}
each_left = pytest.mark.parametrize(("leave", "named"), _LEFT.values(), ids=_LEFT)


@each_left
def test_what_is_no_file_is_neither_read_nor_emptied(base, leave, named):
    leave(base / "x")
    for act in (lambda: beneath.read(base, "x", limit=9), lambda: beneath.emptied(base, "x")):
        with pytest.raises(NotPlainError, match=f"got {named}, expected a regular file"):
            act()
    assert (base.parent / "secret").read_text() == "secret"


@each_left
def test_a_file_is_written_in_place_of_what_is_there_and_through_nothing(base, leave, named):
    leave(base / "x")
    if named == "a folder":
        with pytest.raises(NotPlainError, match="got a folder"):
            beneath.write(base, "x", b"new")
    else:
        beneath.write(base, "x", b"new", mode=0o600)
        assert not (base / "x").is_symlink() and (base / "x").read_bytes() == b"new"
        assert (base / "x").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in base.iterdir()) == ["deep", "x"]
    assert (base.parent / "secret").read_text() == "secret"
    assert (base / "deep" / "f").read_text() == "inside"


@pytest.mark.parametrize("target", ["../outside", "deep", "/etc"])
def test_no_way_leads_through_a_link(base, target):
    (base / "way").symlink_to(target)
    for act in (
        lambda: beneath.read(base, "way/f", limit=9),
        lambda: beneath.write(base, "way/f", b"new"),
        lambda: beneath.emptied(base, "way/f"),
        lambda: beneath.make_folder(base, "way/new", mode=0o777),
        lambda: beneath.make_folder(base, "way", mode=0o777),
    ):
        with pytest.raises(NotPlainError, match="got a symbolic link at way, expected a folder"):
            act()
    assert (base.parent / "outside" / "f").read_text() == "outside"
    assert not (base.parent / "outside" / "new").exists()


def test_the_folder_itself_is_no_link(base):
    (base.parent / "other").symlink_to("base")
    with pytest.raises(NotPlainError, match="got a symbolic link at other"):
        beneath.read(base.parent / "other", "deep/f", limit=9)


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "deep/../../secret", "", "."])
def test_no_path_leaves_the_folder(base, path):
    with pytest.raises(NotPlainError, match="a path that leaves its folder"):
        beneath.read(base, path, limit=9)


def test_at_most_one_byte_more_than_the_limit_is_read(base):
    with (base / "sparse").open("wb") as stream:
        stream.truncate(20 << 30)
    assert beneath.read(base, "sparse", limit=4096) == bytes(4097)
    assert beneath.read(base, "deep/f", limit=4096) == b"inside"


def test_a_file_with_a_second_name_is_not_emptied(base):
    (base / "x").hardlink_to(base.parent / "secret")
    with pytest.raises(NotPlainError, match="second name"):
        beneath.emptied(base, "x")
    assert (base.parent / "secret").read_text() == "secret"


def test_a_file_is_emptied_once_and_then_appended_to(base):
    descriptor = beneath.emptied(base, "deep/f")
    for text in (b"a", b"b"):
        os.write(descriptor, text)
        (base / "deep" / "f").open("a").close()
    os.close(descriptor)
    assert (base / "deep" / "f").read_text() == "ab"
    os.close(beneath.emptied(base, "new/folder/f"))
    assert (base / "new" / "folder" / "f").read_text() == ""


def test_what_is_not_there_is_not_found(base):
    for path in ("nothing", "no/folder"):
        with pytest.raises(FileNotFoundError):
            beneath.read(base, path, limit=9)


def test_a_write_that_fails_leaves_nothing(base):
    with (base / "deep" / "f").open("rb") as stream:
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            beneath.write(base, "x", stream)
    assert [path.name for path in base.iterdir()] == ["deep"]


def test_no_descriptor_is_left_open(base):
    (base / "link").symlink_to("deep")
    os.mkfifo(base / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("deep/f", "link/f", "fifo", "nothing", "deep"):
        for act in (beneath.emptied, lambda base, path: beneath.read(base, path, limit=1)):
            try:
                found = act(base, path)
            except (NotPlainError, FileNotFoundError):
                continue
            if isinstance(found, int):
                os.close(found)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
