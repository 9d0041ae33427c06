"""Options and fixtures of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--opinfo-full",
        action="store_true",
        help="run every OpInfo sample instead of the first ones and some chosen by hash",
    )


@pytest.fixture
def opinfo_full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--opinfo-full"))
