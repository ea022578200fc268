"""Without a library, tests say what they need; no test finds what an earlier one left."""

import importlib.util
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import settings

from ds2.cli.screen.terminal import SHOWN

# No test has a time limit: on a busy machine an example may take any time.
settings.register_profile("ds2", deadline=None)
settings.load_profile("ds2")

# Processes that share the cores also share the threads. Otherwise most of the time would go to
# threads that wait for a core. This line stands before anything imports torch or numpy.
NUM_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
if NUM_WORKERS:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // NUM_WORKERS)))

HAS_TORCH = importlib.util.find_spec("torch") is not None


class RuntimeModule(pytest.Module):
    """A file of tests; if a library that it imports is missing, it is skipped."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            missing = re.search(r"No module named '([^'.]+)", str(error))
            if missing is None or missing[1] in ("ds2", "aids"):
                raise
            pytest.skip(f"needs {missing[1]}")


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> RuntimeModule | None:
    """Skip files of tests only without torch; in `make test` a missing library is an error."""
    return None if HAS_TORCH else RuntimeModule.from_parent(parent, path=module_path)


@pytest.fixture(autouse=True)
def untouched_loggers() -> None:
    """Undo what a command did to loggers in an earlier test: caplog would not see their records."""
    for logger in map(logging.getLogger, ("ds2.cli", *SHOWN)):
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def pytest_make_parametrize_id(val: object) -> str | None:
    """The name of a function, because its address differs from core to core."""
    return getattr(val, "__name__", None) if callable(val) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most slow tests first, or one core would end with such a file alone."""
    num_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -num_slow[item.path])
