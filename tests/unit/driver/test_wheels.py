"""Wheels of strangers: got by hash from the index alone, and nothing of them runs or gets out."""

import stat
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from wheels import line_of, wheel

from touchstone import confine
from touchstone.contract import requirements
from touchstone.driver import wheels
from touchstone.errors import PlatformError


def install(folder, lines, source=None):
    (folder / "requirements.txt").write_text("".join(lines))
    asked = requirements.read(folder)
    assert not asked.problems
    return wheels.install(asked.missing, folder / "out", source=str(source or folder / "wheels"))


def refused(folder, *lines, source=None):
    with pytest.raises(wheels.WheelsError) as error:
        install(folder, lines, source)
    assert not (folder / "out").exists()
    return dict(error.value.problems)


@pytest.mark.parametrize("namespaces", [True, False])  # False as in most containers
def test_what_is_no_module_is_left_out_and_a_link_is_the_text_that_it_was(
    tmp_path, namespaces, monkeypatch
):
    means = replace(confine.means(), namespaces=namespaces)
    monkeypatch.setattr(confine, "means", lambda: means)
    link = zipfile.ZipInfo("frob_link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    files = {
        "frob/__init__.py": "",
        "google/frob/__init__.py": "",  # a folder that many share
        "frob-1.0.data/scripts/python": "#!python\nimport os\n",
        "frob-1.0.data/headers/frob.h": "",
        "frob-1.0.data/data/share/frob": "",
    }
    line = wheel(tmp_path / "wheels", "frob", files=files, entries=[(link, b"/etc/passwd")])
    out = install(tmp_path, [line])
    found = {str(one.relative_to(out)) for one in out.rglob("*") if not one.is_dir()}
    assert {one for one in found if ".dist-info" not in one} == {
        *("frob/__init__.py", "google/frob/__init__.py", "frob_link.py")
    }
    assert (out / "frob_link.py").read_text() == "/etc/passwd"
    assert not (out / "frob_link.py").is_symlink()


def test_nothing_takes_the_place_of_a_module_that_is_there_or_runs_at_the_start(tmp_path):
    evil = {
        "of-torch": {"torch/__init__.py": ""},
        "of-us": {"touchstone/training.py": "", "trust_gates.py": ""},
        "of-python": {"json.py": ""},
        "of-numpy": {"numpy.abi3.so": ""},
        "of-a-part": {"google/protobuf/__init__.py": ""},
        "of-a-whole": {"mpl_toolkits/__init__.py": ""},
        "of-the-start": {"sitecustomize.py": ""},
        "of-paths": {"of.pth": "import os\n"},
        "of-data": {"of-data-1.0.data/data/sklearn/x.py": "", "of_data-1.0.data/data/scipy/x": ""},
    }
    lines = [wheel(tmp_path / "wheels", name, files=files) for name, files in evil.items()]
    needy = wheel(tmp_path / "wheels", "needy", requires=["nosuch>=1", "numpy>99", "torch"])
    with pytest.raises(wheels.WheelsError) as error:
        install(tmp_path, [*lines, needy])
    said = [words for _, words in error.value.problems]
    for part in (
        "of-torch with torch, which Touchstone has",
        "of-us with the module touchstone,",
        "of-us with the module trust_gates,",
        "of-python with the module json,",
        "of-numpy with numpy.abi3.so, which Touchstone has",
        "of-a-part with google/protobuf, which Touchstone has",
        "of-a-whole with mpl_toolkits, which Touchstone has",
        "of-the-start with the module sitecustomize, which Python runs",
        "of-paths with of.pth, which would run",
        "with scipy, which Touchstone has",
        "needy 1.0 needs nosuch>=1 (got no nosuch)",
        "needy 1.0 needs numpy>99 (got numpy",
    ):
        assert any(part in words for words in said), part
    names = {name for name, _ in error.value.problems}
    assert {"of-torch", "of-us", "of-paths", "needy"} <= names


def test_a_wheel_whose_paths_lead_out_is_refused(tmp_path):
    line = wheel(tmp_path / "wheels", "frob", files={"../../evil.py": ""})
    (words,) = refused(tmp_path, line).values()
    assert "trying to install outside" in words


def test_another_hash_and_a_source_archive_are_refused_and_build_nothing(tmp_path):
    folder = tmp_path / "wheels"
    wheel(folder, "exchanged")
    said = refused(tmp_path, f"exchanged==1.0 --hash=sha256:{'0' * 64}\n")
    assert "got exchanged==1.0 with the hash sha256:" in said["exchanged"]
    setup = tmp_path / "setup.py"
    setup.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with tarfile.open(folder / "frob-1.0.tar.gz", "w:gz") as archive:
        archive.add(setup, "frob-1.0/setup.py")
    said = refused(tmp_path, line_of(folder / "frob-1.0.tar.gz", "frob"))
    assert "got no wheel of frob==1.0 for CPython 3." in said["frob"]
    assert not (tmp_path / "ran").exists()


def test_more_files_than_any_package_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "MOST_FILES", 20)
    files = {f"frob/m{number}.py": "" for number in range(30)}
    (words,) = refused(tmp_path, wheel(tmp_path / "wheels", "frob", files=files)).values()
    assert words.startswith("got more than 20 files")


@contextmanager
def served(answer):
    """A server on loopback; gives its port and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def send(handler, status, body=b"", **headers):
    handler.send_response(status)
    for name, value in {"Content-Length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def test_an_index_is_asked_at_its_port_alone_and_its_password_is_not_told(tmp_path):
    line = wheel(tmp_path / "wheels", "frob")
    (archive,) = (tmp_path / "wheels").iterdir()
    page = f'<html><a href="/{archive.name}">{archive.name}</a></html>'.encode()

    def index(handler):
        whole = archive.read_bytes() if handler.path.endswith(".whl") else page
        send(handler, 200, whole, Content_Type="text/html")

    with served(index) as (port, asked):
        out = install(tmp_path, [line], f"http://127.0.0.1:{port}/simple")
        assert (out / "frob.py").is_file()
        assert asked == ["/simple/frob/", f"/{archive.name}"]
    with (
        served(lambda other: send(other, 404)) as (elsewhere, reached),
        served(lambda one: send(one, 302, Location=f"http://127.0.0.1:{elsewhere}{one.path}")) as (
            port,
            asked,
        ),
        pytest.raises(PlatformError, match="cannot be asked") as error,
    ):
        wheels.install(
            requirements.read(tmp_path).missing,
            tmp_path / "again",
            source=f"http://me:secret@127.0.0.1:{port}/simple",
        )
    assert asked == ["/simple/frob/"]
    assert not reached
    assert "secret" not in str(error.value)
