"""Options and fixtures of the whole suite."""

from __future__ import annotations

import os

import pytest

# Read when the first function is compiled: every pass leaves a graph that is checked.
os.environ.setdefault("FASTGRAD_VERIFY_PASSES", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--opinfo-full",
        action="store_true",
        help="run every OpInfo sample instead of the first ones and some chosen by hash",
    )


@pytest.fixture
def opinfo_full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--opinfo-full"))
