"""Memory that a long run frees goes back to the system."""

import ctypes
import sys
from pathlib import Path

import pytest

from ds2.training.run.cost import return_freed_memory


def held_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_pieces_between_kept_ones_go_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library gives memory back by itself")
    pieces = [bytearray(b"1") * 100_000 for _ in range(2_000)]
    kept = pieces[::50]  # they keep the heap from shrinking at its end
    full = held_bytes()
    del pieces
    return_freed_memory()
    assert len(kept) == 40
    assert full - held_bytes() > 150_000_000
