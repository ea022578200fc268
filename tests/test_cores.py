"""The cores that a process may use."""

import os
from pathlib import Path

import pytest

from ds2 import cores


@pytest.fixture(autouse=True)
def no_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The paths of Linux's files for a container; none is written yet."""
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "OLDER_QUOTA", tmp_path / "cpu.cfs_quota_us")
    monkeypatch.setattr(cores, "OLDER_PERIOD", tmp_path / "cpu.cfs_period_us")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def test_all_that_the_process_may_run_on() -> None:
    assert cores.usable_cores() == 8


@pytest.mark.parametrize(
    ("limit", "num_cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)],
)
def test_no_more_than_the_container_s_share(no_container: Path, limit: str, num_cores: int) -> None:
    (no_container / "cpu.max").write_text(limit + "\n")
    assert cores.usable_cores() == num_cores


@pytest.mark.parametrize(("quota", "num_cores"), [("300000", 3), ("-1", 8)])
def test_older_containers(no_container: Path, quota: str, num_cores: int) -> None:
    (no_container / "cpu.cfs_quota_us").write_text(quota + "\n")
    (no_container / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.usable_cores() == num_cores


def test_a_file_of_another_form_limits_nothing(no_container: Path) -> None:
    (no_container / "cpu.max").write_text("as many as you like\n")
    assert cores.usable_cores() == 8
