"""Fixtures for all tests of commands."""

import pytest

from ds2.ctc.warming import warm_up


@pytest.fixture(scope="session", autouse=True)
def compiled_search() -> None:
    """Compile before the tests, because the first search says that it compiles."""
    warm_up()
