"""What all tests of commands share."""

import pytest

from ds2.ctc.warming import warm_up


@pytest.fixture(scope="session", autouse=True)
def compiled_search() -> None:
    """The first search after an installation says that it compiles; here it has been done."""
    warm_up()
