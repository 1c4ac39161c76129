"""A pickle or a program is found in every disguise; what only looks like one is left alone."""

import bz2
import collections
import datetime
import gzip
import io
import json
import lzma
import marshal
import os
import pickle
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from trust_gates.integrity import executables, pickles, tree, unpickling

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a4944415478da6360000000020001e221bc330000000049454e44ae426082"
)
LONG = "x" * 9000


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("/nowhere/at/all",))


class State:
    def __init__(self):
        self.value = 1


def zipped(members, *, before=b"", after=b""):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return before + stream.getvalue() + after


def tarred(name, data, kind=tarfile.REGTYPE):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.type, member.linkname = len(data), kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def array(values):
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def without_header(value, protocol):
    data = pickle.dumps(value, protocol=protocol)
    return data[2:] if protocol < 4 else data[11:]


def member_left_out(data):
    """A zip with a member before the first one that its directory names."""
    alone = zipped({"hidden": data})
    return zipped({"readme": b"x"}, before=alone[: alone.index(b"PK\x01\x02")])


PLAIN = pickle.dumps([Evil(), LONG], protocol=0)
DISGUISES = {
    **{f"protocol {n}": pickle.dumps([Evil(), LONG], protocol=n) for n in range(6)},
    **{f"protocol {n} headless": without_header([LONG, Evil()], n) for n in range(2, 6)},
    "instance": b"(S'true'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'true'\no.",
    "and then not a pickle": b"cos\nsystem\n(S'true'\ntR\nand on it goes",
    "numbers as C reads them": b"I0x10\n0cos\nsystem\n(S'true'\ntR.",
    "the second of two": pickle.dumps([1, "two"], protocol=0) + PLAIN,
    "a library's": b"(S'x'\nitorch.hub\nload\n.",
    "of an own module": b"cown\nrun\n(S'x'\ntR.",
    "sys.path": b"csys\npath\nS'/tmp'\na.",
    "behind text": b"#version: 0.2\nl o\n" + PLAIN,
    "behind bytes": b"\x01JUNK" + pickle.dumps(Evil(), protocol=4),
    "an instance behind text": b"words\nmore words\n(S'true'\nios\nsystem\n.",
    "numbers alone": pickle.dumps([1, 2, 3], protocol=0),
    "array": array(np.array([Evil()], dtype=object)),
    "array with more behind": array(np.ones(3)) + PLAIN,
    "array of records": array(np.array([(1, Evil())], dtype=[("a", int), ("b", object)])),
    "array in zip": zipped({"a.npy": array(np.array([Evil()], dtype=object))}),
    "zip": zipped({"x/y": without_header([Evil(), LONG], 2)}),
    "zip behind bytes": zipped({"m.pkl": b""}, before=b"JUNK"),
    "zip before bytes": zipped({"x": PLAIN}, after=b"JUNK" * 9),
    "zip in zip": zipped({"inner.zip": zipped({"x": PLAIN})}),
    "zip that names not all": member_left_out(PLAIN),
    "zip behind a picture": PNG + zipped({"x": PLAIN}),
    "tar": tarred("x", PLAIN),
    "tar behind a tar": tarred("a", b"a") + tarred("x", PLAIN),
    "tar in gzip": gzip.compress(tarred("x", PLAIN)),
    "gzip": gzip.compress(PLAIN),
    "bz2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "zlib": zlib.compress(PLAIN),
    "zlib of another window": zlib.compressobj(wbits=10).compress(PLAIN) or b"",
    "marshal": marshal.dumps(compile("print(1)", "x", "exec")),
    "byte code": b"\xa7\x0d\x0d\x0a" + bytes(12) + marshal.dumps(compile("1", "x", "exec")),
    "unknown binary": bytes(range(256)),
}
DISGUISES["zlib of another window"] = (lambda c: c.compress(PLAIN) + c.flush())(
    zlib.compressobj(wbits=10)
)


@pytest.mark.parametrize("data", DISGUISES.values(), ids=DISGUISES)
@pytest.mark.parametrize("name", ["vocab.txt", "data.dat", "weights", "icon.png", "w.safetensors"])
def test_a_disguise_is_refused_under_any_name(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert pickles.reason(tmp_path / name)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        State(),
        datetime.date(2020, 1, 1),
        collections.OrderedDict(a=1),
        {1, Evil()},
        [1.5, "naïve\n", b"b", None, True, 10**30, Evil()],
        ({"a": (Evil(),)},),
    ],
    ids=str,
)
def test_an_unpickler_is_followed_through_every_instruction(value, protocol):
    data = pickle.dumps(value, protocol=protocol)
    assert unpickling.reason(data)
    if protocol >= 2:
        assert unpickling.reason(without_header(value, protocol))


SOUND = {
    "README.md": b"# A model\n\nIn short: it tells cats from dogs.\n",
    "INSTALL.txt": b"In the beginning\nclone it\nand run it\n",
    "vocab.txt": b"[PAD]\n[UNK]\ncat\ndog\nPlease\nVan\n0\n1\n(\n)\n.\nR\n",
    "words.txt": b"cat\ndog\ncow\nhis\nher\nVictor\nN\nt\n",
    "frequent.txt": b"the\ncat\nhis\ncount\nmat\nand\ncow\nhen\ncan\nbat\n.\n(in\nit\n",
    "cities.txt": b"cat\nhis\ncount\nmat\nand\n",
    "trigonometry.txt": b"cos\nsin\ntan\n",
    "formulas.txt": b"x^2 + y^2\n",
    "names.txt": b"BZh is how bzip2 begins\n",
    "MZ.txt": b"MZ is how programs begin\n",
    "merges.txt": b"#version: 0.2\nt h\nth e\n",
    "table.csv": b"id,name\n1,Ann\n2,Bob\n",
    "columns.csv": b"class,count\na,1\n",
    "tokenizer.json": json.dumps({"vocab": {"c": 0, "(": 1}}).encode(),
    "config.yaml": b"classes: [a, b]\n",
    "notes.md.gz": gzip.compress(b"# Notes\n"),
    "assets.zip": zipped({"a.txt": b"cat\n", "b/c.json": b"{}"}),
    "data.npz": zipped({"inputs.npy": array(np.ones((3, 2)))}),
    "icon.png": PNG,
    "empty": b"",
    "model.py": b"#!/usr/bin/env python\nX = 1\n",
}


@pytest.mark.parametrize(("name", "data"), SOUND.items(), ids=SOUND)
def test_what_is_what_its_ending_says_is_accepted(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert pickles.reason(tmp_path / name) == ""
    assert executables.reason(tmp_path / name) == ""


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("config.json", b"not json", "it is no JSON"),
        ("config.json", b"[" * 100_000, "it is no JSON"),
        ("notes.txt", zipped({"a.txt": b"a"}), "it is a zip archive, expected UTF-8 text"),
        ("notes.txt", "Müller".encode("latin-1"), "in no format known here, expected UTF-8"),
        ("icon.png", PNG + b"more", "in no format known here, expected a PNG image"),
        ("a.npz", b"text", "it is UTF-8 text, expected a zip archive"),
        ("a.tar", tarred("a", b"", tarfile.SYMTYPE), "its member a is a link or a device"),
        ("a.tar", tarred("a", b"", tarfile.FIFOTYPE), "its member a is a link or a device"),
    ],
)
def test_what_is_not_what_its_ending_says_is_named(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    assert why in pickles.reason(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.zip", zipped({"tool": b"\x7fELF" + bytes(60)}), "in tool: it is an ELF program"),
        ("a.zip", zipped({"tool": b"MZ" + bytes(60)}), "in tool: it is a Windows program"),
        ("a.zip", zipped({"t": b"\xfe\xed\xfa\xcf" + bytes(60)}), "in t: it is a Mach-O"),
        ("a.zip", zipped({"run.sh": b""}), "in run.sh: its ending .sh"),
        ("a.zip", zipped({"__main__.py": b"print(1)"}), "in __main__.py: its ending .py"),
        ("a.zip", zipped({"b.zip": zipped({"c": b"#!/bin/sh\n"})}), "in b.zip/c: it is a script"),
        ("notes.txt", b"\xef\xbb\xbf#!/bin/sh\n", "it is a script"),
        ("notes.txt", b"\n  #!/bin/sh\n", "it is a script"),
        ("notes.txt", "#!/bin/sh\n".encode("utf-16"), "it is a script"),
        ("config.yaml", b"a: !!python/object/apply:os.system [x]\n", "makes objects of Python"),
        ("config.yaml", b"a: !!%70ython/object/apply:os.system [x]\n", "makes objects of Python"),
        (
            "config.yaml",
            b"%TAG !p! tag:yaml.org,2002:pyth\n---\n!p!on/object/apply:os.system [x]\n",
            "makes objects of Python",
        ),
        ("state.json", b'{"py/reduce": []}', "makes objects of Python"),
    ],
)
def test_a_program_is_found_inside_and_behind(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    assert why in executables.reason(tmp_path / name)


def test_a_file_that_never_ends_as_a_pickle_is_refused_in_time(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"N" * 3_000_000)
    assert "more than 1000000 steps" in pickles.reason(tmp_path / "a.txt")


def test_a_file_of_any_size_is_safetensors_onnx_or_text(tmp_path):
    large = tmp_path / "large.dat"
    with large.open("wb") as stream:
        stream.truncate(65 << 20)
    assert "in no format known here" in pickles.reason(large)
    large.write_bytes(b"a line of text\n" * (5 << 20))
    assert pickles.reason(large) == ""


def test_no_reader_of_files_follows_a_link_or_waits_at_a_pipe(tmp_path):
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe.txt")
    for name, kind in (("link.txt", "a symbolic link"), ("pipe.txt", "a FIFO")):
        assert kind in pickles.reason(tmp_path / name)
        assert kind in executables.reason(tmp_path / name)
        with (
            pytest.raises(ValueError, match="expected a regular file"),
            tree.opened(tmp_path / name),
        ):
            pass
