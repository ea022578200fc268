"""Work on the machines of a Ray cluster."""

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
"""Not the address of a cluster: one is started on this machine, for as long as it is needed."""


@dataclass(frozen=True)
class RayActors:
    """Processes of a Ray cluster, one core each, that load the model once.

    One that dies is started again, and what it was at is done again: results come in the order
    of the utterances, none is lost and none comes twice. The bundle travels with the work; the
    recordings must be found under the same paths on all machines.
    """

    address: str  # of the cluster, "auto" or LOCAL
    num_workers: int | None = None  # None: as many as there are cores

    def results(self, work: Work, utterances: Sequence[Utterance]) -> Results:
        """A result for each utterance, in order; {"error": message} where there is none.

        Raises InputError if there is no such cluster.
        """
        ray = _start_ray(self.address)
        try:
            num_workers = self.num_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Worker)
            # In a list, or Ray would take it for an argument that may be gone at a restart.
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
    """Ray, connected to the cluster."""
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
    """The files of a bundle."""
    return {path.name: path.read_bytes() for path in sorted(bundle.iterdir()) if path.is_file()}
