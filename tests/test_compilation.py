"""Compiled code stays until its source changes; without a writable folder it is in memory."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest

import ds2
from ds2.compilation import compiled, inlined, stamp_of, structure
from ds2.ctc.warming import warm_up

PACKAGE = Path(ds2.__file__).parent
PAIR = np.dtype([("first", np.int64), ("second", np.float64)], align=True)


@dataclass(frozen=True)
@structure
class Inner:
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
@structure
class Outer:
    table: Annotated[npt.NDArray[np.int32], 2]
    pairs: Annotated[npt.NDArray[np.void], PAIR]
    pair: Annotated[Any, PAIR, 0]
    inner: Inner
    factor: float
    count: int
    is_on: bool


def outer(**fields: Any) -> Outer:
    given: dict[str, Any] = {
        "table": np.arange(6, dtype=np.int32).reshape(2, 3),
        "pairs": np.zeros(2, PAIR),
        "pair": np.zeros((), PAIR),
        "inner": Inner(np.array([0.5, 1.5])),
        "factor": 2.0,
        "count": 7,
        "is_on": True,
    }
    return Outer(**given | fields)


@inlined
def total_of(inner: Inner) -> float:
    total = 0.0
    for value in inner.values:
        total += value
    return total


@compiled
def changed(given: Outer) -> float:
    given.pairs[1].first = given.table[1, 2] * given.count
    given.pair.second += given.factor * total_of(given.inner)
    return given.pair.second if given.is_on else -1.0


def test_compiled_code_reads_a_structure_and_writes_in_its_arrays() -> None:
    given = outer()
    assert changed(given) == 4.0
    assert changed(given) == 8.0
    assert given.pairs["first"].tolist() == [0, 35]
    assert given.pair["second"] == 8.0
    assert changed(outer(is_on=False)) == -1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"table": np.zeros((2, 3), np.int64)},
        {"table": np.zeros(3, np.int32)},
        {"table": np.zeros((3, 2), np.int32).T},
        {"pair": np.zeros(1, PAIR)},
    ],
)
def test_a_structure_of_other_arrays_than_it_says_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(fields))}: must be"):
        outer(**fields)


def test_nothing_is_compiled_for_two_kinds_of_arguments() -> None:
    from ds2.ctc.search import frames, prefixes, reading

    warm_up()
    for function in (
        frames.take_frames,
        prefixes._forget,
        reading.judge,
        reading.agree,
        reading.read_back,
    ):
        assert len(function.signatures) == 1, function  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["ctc/search/dominance.py", "ngram/score.py", "compilation/shortcuts.py"]
)
def test_a_change_of_any_compiled_file_is_noticed(name: str, tmp_path: Path) -> None:
    package = tmp_path / "ds2"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = stamp_of(package)
    other = shutil.copytree(package, tmp_path / "other" / "ds2", copy_function=shutil.copyfile)
    assert stamp_of(other) == before  # the same ds2, installed at another time
    changed = other / name
    changed.write_text(changed.read_text().replace("the", "teh", 1))  # of the same size
    shutil.move(other, package := tmp_path / "changed")
    assert stamp_of(package) != before


def ran(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


WARM_UP = "import sys; from ds2.cli import main; sys.exit(main(['warm-up']))"


@pytest.mark.slow
def test_the_command_tells_of_compiling_once_and_then_never(tmp_path: Path) -> None:
    first = ran(WARM_UP, NUMBA_CACHE_DIR=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines() == [
        "ds2: compiling the search, once",
        "ds2: compiling the alignment, once",
        "ds2: compiling the language model's look-ups, once",
    ]
    second = ran(WARM_UP, NUMBA_CACHE_DIR=str(tmp_path))
    assert (second.returncode, second.stderr) == (0, "")


DECODED = """
import numpy as np
from ds2 import compilation
from ds2.ctc.beam_search import BeamSearch
from ds2.text.alphabet import english_characters
alphabet = english_characters()
raw = np.random.default_rng(1).normal(0, 3, (40, len(alphabet)))
log_probs = (raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)).astype(np.float32)
decoder = BeamSearch(alphabet).decoder()
decoder.feed(log_probs)
decoder.warm_up()
print("pipeline_class" in compilation._OUTSIDE, decoder.best(3))
"""


@pytest.mark.slow
def test_a_numba_without_the_parts_that_have_no_public_name_gives_the_same(tmp_path: Path) -> None:
    """If a future numba renames a part, ds2 compiles in numba's own way."""
    usual = ran(DECODED, NUMBA_CACHE_DIR=str(tmp_path / "usual"))
    renamed = "import numba.core.codegen; del numba.core.codegen.JITCodeLibrary\n"
    other = ran(renamed + DECODED, NUMBA_CACHE_DIR=str(tmp_path / "other"))
    assert usual.returncode == other.returncode == 0, usual.stderr + other.stderr
    assert usual.stdout.startswith("True [Hypothesis(")
    assert other.stdout == usual.stdout.replace("True", "False", 1)


def test_compiling_leaves_the_search_for_circles_as_it_was() -> None:
    import gc

    @compiled
    def doubled(value: int) -> int:
        return 2 * value

    for was_on in (False, True):
        (gc.enable if was_on else gc.disable)()
        assert doubled(3.0 if was_on else 3) == 6
        assert gc.isenabled() == was_on


@pytest.mark.slow
def test_where_nothing_can_be_written_it_compiles_in_memory_and_says_what_to_set() -> None:
    """root can write to any directory, so numba gets no directory to try."""
    code = (
        "from numba.core.caching import CacheImpl\n"
        "CacheImpl._locator_classes = []\n"
        "import logging; logging.basicConfig()\n"
        "from ds2.ctc.cost import ctc_cost\n"
        "import numpy as np\n"
        "print(ctc_cost(np.full((2, 2), np.log(0.5), np.float32), [1]))\n"
    )
    result = ran(code)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(-np.log(0.75))
    assert result.stderr.count("set NUMBA_CACHE_DIR to a directory") == 1


def test_an_index_that_names_a_class_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    """The state after an update of ds2, with files of an older version."""
    program = (
        "import sys\n"
        "import numpy as np\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from doubling import doubled\n"
        "print(doubled(np.ones(2)))\n"
    )
    (tmp_path / "doubling.py").write_text(
        "from ds2.compilation import compiled\n\n"
        "@compiled\ndef doubled(values):\n    return 2 * values[0]\n"
    )
    cache = tmp_path / "cache"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    first = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (index,) = cache.rglob("*.nbi")
    kept = index.read_bytes()
    # Protocol 0 of a name that nothing has, after numba's own version, as in the file.
    index.write_bytes(kept[: kept.index(b".") + 1] + b"cds2.compilation\n_Gone\n.")
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert first.stdout == second.stdout == "2.0\n"
    assert len(index.read_bytes()) > 60  # made again
