"""The recorder as a program: its namespaces, its two ports, its end."""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import disable_created_metrics

from touchstone.artifacts.store import open_store
from touchstone.cluster import answers
from touchstone.cluster.connect import connect
from touchstone.cluster.metrics import Metrics
from touchstone.cluster.recorder import Recorder
from touchstone.cluster.records import Records
from touchstone.runs.otlp import Exporter

_log = logging.getLogger(__name__)


def serve(
    store: str,
    *,
    namespaces: Sequence[str] = (),
    port: int,
    records_port: int,
    log_limit: int,
    spool: Path | None = None,
) -> None:
    """Record until SIGTERM or SIGINT.

    Args:
        namespaces: by default the Pod's own.

    Raises:
        PlatformError: the API or the store cannot be reached, or refuses.
    """
    cluster, artifacts = connect(), open_store(store)
    watched = tuple(namespaces) or (cluster.namespace,)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each
    metrics, exporter, stop = Metrics(), Exporter.of(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    failures: list[Exception] = []
    with tempfile.TemporaryDirectory(dir=spool, prefix="recorder-") as folder:
        recorders = [
            Recorder(
                cluster,
                Records(artifacts),
                namespace=namespace,
                spool=Path(folder) / namespace,
                log_limit=log_limit,
                metrics=metrics,
                exporter=exporter,
            )
            for namespace in watched
        ]

        def work(recorder: Recorder) -> None:
            try:
                recorder.run(stop)
            except Exception as error:
                failures.append(error)
            finally:
                stop.set()

        def healthy() -> bool:
            return all(recorder.healthy for recorder in recorders)

        servers = (
            answers.listen("", port, answers.public(healthy, metrics.text)),
            answers.listen("127.0.0.1", records_port, answers.stored(artifacts, watched)),
        )
        threads = [threading.Thread(target=work, args=(one,)) for one in recorders]
        for thread in threads:
            thread.start()
        _log.info("records runs of %s of %s", ", ".join(watched), cluster.address)
        for thread in threads:
            thread.join()
        for server in servers:
            server.shutdown()
    if failures:
        raise failures[0]
