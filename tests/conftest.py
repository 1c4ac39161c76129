"""What holds for every test: STRICT=1 turns a skip into a failure, so that none goes unseen."""

import os

import pytest

_STRICT = os.environ.get("STRICT", "") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if _STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and STRICT=1 allows no skip: {report.longrepr[2]}"
    return report
