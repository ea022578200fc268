"""Files that are written whole or not at all, with the rights that new files have."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ds2.files import atomic_write, make_neighbour

WRITER = """
import os, sys, threading
from pathlib import Path
from ds2.files import atomic_write
os.umask(0o077)
directory = Path(sys.argv[1])
stop = threading.Event()

def write() -> None:
    while not stop.is_set():
        with atomic_write(directory / "whole") as file:
            file.write("x")

writers = [threading.Thread(target=write) for _ in range(2)]
for writer in writers:
    writer.start()
rights = set()
for index in range(3000):  # what other code of the process makes meanwhile
    descriptor = os.open(directory / str(index), os.O_CREAT | os.O_WRONLY, 0o666)
    rights.add(oct(os.fstat(descriptor).st_mode & 0o777))
    os.close(descriptor)
stop.set()
for writer in writers:
    writer.join()
print(*sorted(rights))
"""


def rights_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="rights are those of POSIX")
def test_other_threads_make_files_with_their_own_rights_meanwhile(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout.split() == ["0o600"]


@pytest.mark.skipif(os.name == "nt", reason="rights are those of POSIX")
def test_files_and_directories_have_the_rights_of_new_ones(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "written") as file:
        file.write("x")
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    assert rights_of(tmp_path / "written") == rights_of(tmp_path / "plain")
    assert rights_of(make_neighbour(tmp_path / "new")) == rights_of(tmp_path / "folder")


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with atomic_write(path) as file:
        file.write("x")
    assert path.read_text() == "x"


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    with pytest.raises(TypeError), atomic_write(tmp_path / "kept") as file:
        file.write(b"these are bytes, where text is wanted")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    def write(text: str) -> None:
        for _ in range(20):
            with atomic_write(tmp_path / "shared") as file:
                file.write(text * 1000)

    writers = [threading.Thread(target=write, args=(text,)) for text in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "shared").read_text() in ("a" * 1000, "b" * 1000)
    assert len([*tmp_path.iterdir()]) == 1
