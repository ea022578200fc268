"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A limit of a container on Linux: microseconds of CPU time, or "max", and the period."""
OLDER_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
OLDER_PERIOD = OLDER_QUOTA.with_name("cpu.cfs_period_us")


def usable_cores() -> int:
    """The cores that this process may use: at least 1.

    A process may be bound to some of the machine's cores, and a container may have a share of
    them. `os.cpu_count()` knows of neither.
    """
    if hasattr(os, "sched_getaffinity"):
        num_cores = len(os.sched_getaffinity(0))
    else:
        num_cores = os.cpu_count() or 1
    return max(1, min(num_cores, math.ceil(_share(num_cores))))


def _share(num_cores: int) -> float:
    """The cores that the container's limit leaves; num_cores if it has none."""
    try:
        quota, period = QUOTA.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = OLDER_QUOTA.read_text(), OLDER_PERIOD.read_text()
        except OSError:
            return num_cores
    try:
        return int(quota) / int(period) if int(quota) > 0 else num_cores
    except (ValueError, ZeroDivisionError):  # "max"
        return num_cores
