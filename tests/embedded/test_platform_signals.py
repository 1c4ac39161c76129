"""A platform that is told to end more than once ends, in order, with exit code 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import free_ports, until

from touchstone.home import Home


@pytest.mark.parametrize("ready", [True, False], ids=["that is ready", "that just starts"])
def test_a_platform_ends_however_often_it_is_told_to(tmp_path: Path, ready: bool) -> None:
    home = Home(tmp_path / "home")
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "touchstone", "up", "--port", str(free_ports())],
            env={**os.environ, "TOUCHSTONE_HOME": str(home.root)},
            stdout=stream,
            stderr=stream,
        )
    begun = home.platform if ready else lambda: b"Started server process" in log.read_bytes()
    until(begun, 60, "the platform does not start")
    for _ in range(20):  # a handler may interrupt whatever holds a lock
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        time.sleep(0.003)
    assert process.wait(60) == 0, log.read_text()
    assert not home.platform_file.exists()
