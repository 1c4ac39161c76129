"""Where is an experiment tracker (MLflow), who is one there, and what is it asked through?

mlflow-skinny does the talking (https://mlflow.org/docs/latest/ml/tracking); it is an extra,
imported where there is a tracker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from touchstone.errors import PlatformError, UsageError
from trust_gates.visible import one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXTRA = "pip install 'touchstone[mlflow]'"
SECRET = "touchstone-mlflow"  # noqa: S105 (its name)
"""Holds `tracking-uri`, and where they are asked for `username` and `password`, or `token`."""

REPORT = "trust-report"
"""The folder of a tracked run's artifacts that the report is in."""

_KEYS = {"username": "USERNAME", "password": "PASSWORD", "token": "TOKEN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a tracker is, and who one is there."""

    uri: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Some of `username`, `password` and `token`."""

    @classmethod
    def of(cls, uri: str, credentials: Mapping[str, str]) -> Server:
        """The tracker at an http(s):// address, or the database in a file, sqlite:///PATH.

        Raises:
            UsageError: the address is another, or holds credentials.
        """
        parts = urlsplit(uri)
        if parts.username or parts.password:
            raise UsageError(
                "got a tracking URI with credentials in it, which would end up in logs",
                hint="give them as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or MLFLOW_TRACKING_TOKEN",
            )
        web = parts.scheme in ("http", "https") and parts.hostname
        if not web and not (parts.scheme == "sqlite" and len(parts.path) > 1 and not parts.netloc):
            raise UsageError(
                f"got the tracking URI {uri!r}, expected http(s)://HOST… or sqlite:///FILE"
            )
        if not web:  # SQLAlchemy's form: one slash before a relative path, two before another
            uri = f"sqlite:///{Path(unquote(parts.path[1:])).absolute()}"
        return cls(uri=uri, credentials={k: v for k, v in credentials.items() if v})

    @classmethod
    def of_environment(cls, uri: str) -> Server:
        """The tracker with the credentials of the variables that MLflow reads itself."""
        names = {key: f"MLFLOW_TRACKING_{name}" for key, name in _KEYS.items()}
        return cls.of(uri, {key: os.environ.get(name, "") for key, name in names.items()})

    @classmethod
    def read(cls, folder: Path | None) -> Server | None:
        """The tracker that a mounted Secret names; None where there is none."""
        if folder is None or not (folder / "tracking-uri").is_file():
            return None
        found = {
            key: (folder / key).read_text(encoding="utf-8").strip()
            for key in ("tracking-uri", *_KEYS)
            if (folder / key).is_file()
        }
        uri = found.pop("tracking-uri")
        return cls.of(uri, found) if uri else None

    def files(self) -> dict[str, str]:
        """What `read` reads, by key."""
        return {"tracking-uri": self.uri, **self.credentials}

    def page(self, experiment: str, run: str) -> str:
        """Where people find a run."""
        if self.uri.startswith("sqlite:"):
            return f"run {run} in {self.uri}"
        return f"{self.uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}"


def require_mlflow() -> None:
    """Raises PlatformError where mlflow is not installed."""
    if find_spec("mlflow") is None:
        raise PlatformError("mlflow is not installed", hint=f"install it with: {EXTRA}")


@contextmanager
def client(server: Server | None = None) -> Iterator[MlflowClient]:
    """A client of the tracker; without one of that which MLflow's own variables name."""
    _settle(server)
    from mlflow import MlflowClient

    yield MlflowClient(tracking_uri=server.uri if server else None)


def log_files(mlflow: MlflowClient, run: str, files: Mapping[str, bytes], place: str) -> None:
    """Put files by their names into a folder of a run's artifacts."""
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        mlflow.log_artifacts(run, folder, place)


def said(error: Exception, server: Server | None = None) -> str:
    """What a library says went wrong, on one line and without what is secret."""
    text = one_line(str(error))
    for secret in (server.credentials if server else {}).values():
        text = text.replace(secret, "…")
    return f"{type(error).__name__}: {text[:300]}"


def _settle(server: Server | None) -> None:
    """What MLflow reads from the environment alone; it is told before it is imported."""
    import logging

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for key, name in _KEYS.items():
        if server is not None:
            os.environ.pop(f"MLFLOW_TRACKING_{name}", None)
            if value := server.credentials.get(key):
                os.environ[f"MLFLOW_TRACKING_{name}"] = value
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
