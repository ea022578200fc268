"""Runs work on the machines of a Ray cluster."""

import functools
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ds2.corpora.work.resumable import AHEAD, Fields, Results, Work, guarded, in_order
from ds2.errors import InputError
from ds2.installation import needing
from ds2.manifest import Utterance
from ds2.model.bundle import find_bundle

LOCAL = "local"
"""In place of an address: start a cluster on this machine, and stop it after the work."""


@dataclass(frozen=True)
class RayActors:
    """Processes of a Ray cluster. Each has one core and loads the model once.

    If a process dies, Ray starts it again and repeats its utterance. Results come in the order of
    the utterances. None is lost, and none comes twice. The bundle travels with the work. The
    recordings must have the same paths on all machines.
    """

    address: str  # of the cluster, "auto" or LOCAL
    num_workers: int | None = None  # None: one for each core

    def results(self, work: Work, utterances: Sequence[Utterance]) -> Results:
        """A result for each utterance, in order; {"error": message} for a failure.

        Raises InputError if there is no such cluster.
        """
        ray = _start_ray(self.address)
        try:
            num_workers = self.num_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Worker)
            # In a list: Ray would resolve a plain argument, which may be gone at a restart.
            bundle = [ray.put(_packed(find_bundle(work.model)))]
            pool = [actor.remote(work, bundle) for _ in range(min(num_workers, len(utterances)))]
            turn = iter(range(len(utterances)))

            def submit(utterance: Utterance) -> Callable[[], Fields]:
                waiting = pool[next(turn) % len(pool)].do.remote(utterance)
                return functools.partial(ray.get, waiting)

            yield from in_order(submit, utterances, len(pool) * AHEAD)
        finally:
            ray.shutdown()


def _start_ray(address: str) -> Any:
    """Connect Ray to the cluster, and return the module."""
    with needing("ray", told="--ray"):
        import ray
    where = None if address == LOCAL else address
    try:
        ray.init(
            address=where, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--ray {address}: {reason}: give the address of a cluster") from None
    return ray


class _Worker:
    """One process of the cluster."""

    def __init__(self, work: Any, bundle: list[Any]) -> None:
        import ray

        self._directory = tempfile.TemporaryDirectory(prefix="ds2-")
        for name, data in ray.get(bundle[0]).items():
            (Path(self._directory.name) / name).write_bytes(data)
        self._do = guarded(replace(work, model=self._directory.name).start())

    def do(self, utterance: Utterance) -> Fields:
        """The result of an utterance."""
        return self._do(utterance)


def _packed(bundle: Path) -> dict[str, bytes]:
    """The files of a bundle, by name."""
    return {path.name: path.read_bytes() for path in sorted(bundle.iterdir()) if path.is_file()}
