"""Files are written completely or not at all, with the rights of new files."""

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from ds2.files import atomic_write, make_neighbour


def rights_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="rights are those of POSIX")
def test_what_other_threads_make_meanwhile_has_its_own_rights(tmp_path: Path) -> None:
    """Another thread may run after any call of the writer; here it runs after each."""
    found = set()

    def make_file(_frame: object, event: str, _called: object) -> None:
        if event == "c_return":
            descriptor = os.open(tmp_path / "other", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            found.add(stat.S_IMODE(os.fstat(descriptor).st_mode))
            os.close(descriptor)
            (tmp_path / "other").unlink()

    mask = os.umask(0o027)
    try:
        sys.setprofile(make_file)
        with atomic_write(tmp_path / "written") as file:
            file.write("x")
    finally:
        sys.setprofile(None)
        os.umask(mask)
    assert found == {0o640}
    assert rights_of(tmp_path / "written") == 0o640


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
