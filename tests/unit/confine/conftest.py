"""Every way to confine that this machine has."""

from dataclasses import replace

import pytest

from touchstone import confine

ANY = confine.means()
WAYS = {
    "namespaces": ANY,
    "landlock": replace(ANY, namespaces=False, missing="not wanted here"),
}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    if not getattr(ANY, request.param):
        pytest.skip(f"no {request.param} here: {ANY.missing}")
    monkeypatch.setattr(confine, "means", lambda: WAYS[request.param])
    return request.param
