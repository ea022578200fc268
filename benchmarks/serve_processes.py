"""Servers in their own processes and on their own core, for the benchmarks of serving."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

START_S = 120.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ServerProcess:
    """A running server; Linux only, because it reads /proc."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def cpu_s(self) -> float:
        """Processor time of the server and its workers so far, in seconds."""
        ticks = 0
        for process_id in self.process_ids():
            fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_S

    def process_ids(self) -> list[int]:
        """Its own process id, then those of its workers, if it has any."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii").split()
        return [own, *map(int, children)]

    def resident_mb(self) -> float:
        """Memory of the server and its workers, in MB."""
        held_kb = 0.0
        for process_id in self.process_ids():
            status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
            held_kb += float(status.split("VmRSS:")[1].split()[0])
        return held_kb / 1024


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    log: Path,
    core: int | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[ServerProcess]:
    """Run a server until the context ends; the block begins when the port answers.

    core: the only core that it may use; None: any core.
    """
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            _wait_for(port, process, log)
            yield ServerProcess(process, port, log)
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ds2_serve(model: str, port: int, *options: str) -> list[str]:
    """The command line of our own server."""
    ds2 = "import sys; from ds2.cli import main; sys.exit(main())"
    return [sys.executable, "-c", ds2, "serve", "-m", model, "--port", str(port), *options]


def busy_s(core: int | None) -> float:
    """Busy time of a core, or of all cores, since the start of the machine, in seconds."""
    wanted = "cpu" if core is None else f"cpu{core}"
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    (fields,) = (line.split()[1:] for line in lines if line.split()[0] == wanted)
    ticks = [int(each) for each in fields[:8]]  # user nice system idle iowait irq softirq steal
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_S


def free_port() -> int:
    """A port that is free at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")
