"""Where a table lies, and whether it is the one that was meant: looked at before it is read."""

import hashlib
import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from touchstone import confine
from touchstone.home import SHIPPED
from touchstone.training import dataset
from touchstone.training.tables import load as tables
from touchstone.training.tables.asked import Data
from touchstone.training.tables.load import LateError, TableError

TABLE = "x,sex,y\n" + "".join(f"{n},{'fm'[n % 2]},{'ab'[n % 3 == 0]}\n" for n in range(40))
DIGEST = "sha256:" + hashlib.sha256(TABLE.encode()).hexdigest()


@pytest.fixture
def place(tmp_path):
    """A repository with a table in it, and a folder beside it."""
    (tmp_path / "repository" / "data").mkdir(parents=True)
    (tmp_path / "repository" / "data" / "t.csv").write_text(TABLE)
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "t.csv").write_text(TABLE)
    return tmp_path


def load(place, uri="data/t.csv", *, other="", **how):
    output = place / f"output{len(list(place.iterdir()))}"
    output.mkdir()
    asked = {"uri": uri, "label": "y", "protected": ["sex"], **how.pop("asked", {})}
    tables.load(Data.model_validate(asked), place / "repository", output, uri=other, **how)
    return dataset.read_raw(output)


def problem(place, *args, **how):
    with pytest.raises(TableError) as caught:
        load(place, *args, **how)
    ((words, at),) = caught.value.problems
    return words, at


def test_a_table_of_the_repository_is_read_confined(place):
    found = load(place, asked={"digest": DIGEST})
    assert found.description.classes == ("a", "b")
    assert len(found.arrays["inputs"]) == 40


def test_what_is_wrong_in_the_table_comes_back_with_line_and_field(place):
    (place / "repository" / "data" / "t.csv").write_text(TABLE.replace("\n7,", "\n7 kg,"))
    assert problem(place)[0].startswith("data/t.csv:9: x: got '7 kg', expected a number")
    assert problem(place, asked={"ignore": ["z"]})[1] == ("ignore", 0)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("data/u.csv", "got no file data/u.csv in the repository, expected the table"),
        ("t.csv", "got no file t.csv in the repository"),
        ("data/link.csv", "data/link.csv: got a symbolic link, expected a regular file"),
        ("way/t.csv", "expected a folder"),
        ("data/pipe.csv", "data/pipe.csv: got a FIFO, expected a regular file"),
        ("data/folder.csv", "data/folder.csv: got a folder, expected a regular file"),
    ],
)
def test_nothing_is_read_through_links_nor_from_what_is_no_file(place, uri, said):
    repository = place / "repository"
    (repository / "data" / "link.csv").symlink_to(place / "shown" / "t.csv")
    (repository / "way").symlink_to(place / "shown")
    os.mkfifo(repository / "data" / "pipe.csv")
    (repository / "data" / "folder.csv").mkdir()
    words, at = problem(place, uri)
    assert said in words
    assert at == ("uri",)


def test_a_file_of_another_digest_is_refused(place):
    words, at = problem(place, asked={"digest": "sha256:" + "0" * 64})
    assert f"got {DIGEST} from data/t.csv, expected sha256:0000" in words
    assert at == ("digest",)


def test_a_file_outside_is_read_only_from_a_folder_that_is_shown(place):
    uri, asked = f"file://{place}/shown/t.csv", {"digest": DIGEST}
    assert len(load(place, uri, asked=asked, show=[place / "shown"]).arrays["inputs"]) == 40
    assert "which lies in no folder that models are shown" in problem(place, uri, asked=asked)[0]
    (place / "shown" / "out.csv").symlink_to(place / "repository" / "data" / "t.csv")
    leading = f"file://{place}/shown/out.csv"
    assert "in no folder" in problem(place, leading, asked=asked, show=[place / "shown"])[0]


def test_data_that_an_event_names_take_the_place_of_the_tables_and_have_no_digest(place):
    (place / "repository" / "new.csv").write_text(TABLE + "50,f,a\n")
    asked = {"digest": DIGEST}
    assert len(load(place, asked=asked, other="new.csv").arrays["inputs"]) == 41
    assert "expected a path inside" in problem(place, asked=asked, other="../t.csv")[0]


def test_an_address_that_does_not_answer_is_told(place):
    words, at = problem(place, "https://127.0.0.1/t.csv", asked={"digest": DIGEST})
    assert words.startswith("https://127.0.0.1/t.csv cannot be fetched: ")
    assert at == ("uri",)


def test_what_is_at_an_address_is_fetched_and_read_by_processes_that_see_no_more(
    place, monkeypatch
):
    handler = partial(SimpleHTTPRequestHandler, directory=str(place / "shown"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(tables, "ADDRESSES", ("http",))  # there is no certificate here
    monkeypatch.setenv(confine.DATA_PORTS, str(server.server_port))
    file, output = place / "table" / "table", place / "output"
    file.parent.mkdir()
    output.mkdir()
    try:
        uri = f"http://127.0.0.1:{server.server_port}/t.csv"
        assert tables._fetch(uri, place, file, (), {}) == DIGEST
    finally:
        server.shutdown()
        server.server_close()
    asked = Data(uri="t.csv", label="y", protected=("sex",))
    tables._read(file, "t.csv", asked, output, None)
    assert len(dataset.read_raw(output).arrays["inputs"]) == 40


def test_reading_ends_where_it_takes_too_long(place):
    started = time.monotonic()
    with pytest.raises(LateError):
        load(place, patience=0.01)
    assert time.monotonic() - started < 10


def test_the_programs_of_tables_are_shipped():
    assert (SHIPPED / "training" / "load_table.py").is_file()
    assert (SHIPPED / "training" / "download.py").is_file()
