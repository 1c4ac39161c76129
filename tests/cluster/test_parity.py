"""The engine says of each probe what Tekton said on a cluster, or the difference is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import embedded, page, tekton
from tests.cluster.asking import Cluster
from tests.cluster.probes import EXPLAINED, RECORD, WAITING, probes, record
from tests.cluster.status import differences

Answers = dict[str, dict[str, Any]]
NAMES = [probe.file.stem for probe in probes()]


@pytest.fixture(scope="module")
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """The engine's answers; several at a time, since most of them wait for processes."""
    asked = {item.name for item in request.session.items}
    home = tmp_path_factory.mktemp("parity")
    with ThreadPoolExecutor(8) as pool:
        yield {
            probe.file.stem: pool.submit(embedded.ask, probe, home / probe.file.stem)
            for probe in probes()
            if f"{test_the_engine_says_what_tekton_said.__name__}[{probe.file.stem}]" in asked
        }


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.long] if n in WAITING else []) for n in NAMES],
)
def test_the_engine_says_what_tekton_said(
    name: str, here: dict[str, Future[dict[str, Any]]]
) -> None:
    differing = differences(here[name].result(), record()[name])
    assert set(differing) == set(EXPLAINED.get(name, {})), json.dumps(differing, indent=1)


def test_every_answer_on_record_is_of_a_probe() -> None:
    assert set(record()) == set(NAMES)
    assert set(EXPLAINED) <= set(NAMES)


def test_the_page_tells_every_probe() -> None:
    text = Path("docs/reference/parity.md").read_text(encoding="utf-8")
    assert page.section() in text, "python -m tests.cluster.page"


@pytest.fixture(scope="module")
def there(own_namespace: Cluster, request: pytest.FixtureRequest) -> Iterator[Answers]:
    """The cluster's answers, five runs at a time; --record-parity keeps them."""
    with ThreadPoolExecutor(5) as pool:
        answers = pool.map(lambda probe: tekton.ask(probe, own_namespace), probes())
        found = dict(zip(NAMES, answers, strict=True))
    yield found
    if request.config.getoption("record_parity"):
        RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@pytest.mark.cluster
@pytest.mark.parametrize("name", NAMES)
def test_the_cluster_says_what_is_on_record(
    name: str, there: Answers, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("record_parity"):
        return
    assert differences(there[name], record()[name]) == {}
