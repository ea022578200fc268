"""Run the demo and the quick tests of the runtime on every installed Python: `make pythons`.

For each interpreter from 3.11 on, in PATH or under ~/.pyenv/versions, a fresh environment with the
newest versions of what ds2 needs, and one with the lowest that pyproject.toml allows. None holds
torch: tests that need it say so. The demo runs with an empty home, and must leave nothing in it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".venv-pythons"
OLDEST = (3, 11)
VERSIONS = ("newest", "lowest")
# Below its wheels a compiled library would be built from source; this one is plain Python.
WHEELS = ("--only-binary", ":all:", "--no-binary", "docopt", "--no-binary", "deepspeech2")
SHOWN_LINES = 60  # lines of the log to show for a failed environment
QUICK = ("-m", "not slow", "-rfEs", "-p", "no:cacheprovider", "--ignore", "tests/training")


@dataclass(frozen=True)
class Environment:
    """An interpreter with the newest or the lowest versions of the libraries."""

    name: str  # "3.12.1 lowest"
    interpreter: Path
    versions: str

    @property
    def directory(self) -> Path:
        return PLACE / self.name.replace(" ", "-")

    @property
    def log(self) -> Path:
        """The log of the installation, the demo and the tests."""
        return PLACE / f"{self.directory.name}.log"

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        windows = self.directory / "Scripts" / "python.exe"
        return windows if windows.exists() else self.directory / "bin" / "python"


def interpreters() -> dict[tuple[int, ...], Path]:
    """The path of the newest interpreter of each version from 3.11 on, by (3, 12, 1)."""
    names = [f"python3.{minor}" for minor in range(OLDEST[1], 30)]
    found = [Path(path) for name in names if (path := shutil.which(name))]
    found += sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    by_minor: dict[tuple[int, ...], tuple[tuple[int, ...], Path]] = {}
    for path in [Path(sys.executable), *found]:
        told = subprocess.run([path, "-VV"], capture_output=True, text=True, check=False).stdout
        match = re.match(r"Python (\d+)\.(\d+)\.(\d+) ", told)
        version = tuple(map(int, match.groups())) if match else (0,)
        if version >= OLDEST and version > by_minor.get(version[:2], ((0,), path))[0]:
            by_minor[version[:2]] = (version, path)
    return dict(by_minor[minor] for minor in sorted(by_minor))


def uv() -> str:
    """The installer that can choose the lowest versions, in its own environment."""
    tool = PLACE / "uv" / "bin" / "uv"
    if not tool.exists():
        subprocess.run([sys.executable, "-m", "venv", PLACE / "uv"], check=True)
        pip = [PLACE / "uv" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv>=0.5"]
        subprocess.run(pip, check=True)
    return str(tool)


def make(environment: Environment) -> None:
    """Make the environment again from nothing."""
    shutil.rmtree(environment.directory, ignore_errors=True)
    environment.log.unlink(missing_ok=True)
    installer = uv()
    venv = [installer, "venv", "--quiet", "--python", environment.interpreter]
    run([*venv, environment.directory], environment)
    resolution = "highest" if environment.versions == "newest" else "lowest-direct"
    install = [installer, "pip", "install", "--python", environment.python]
    run([*install, "--resolution", resolution, *WHEELS, "-e", f"{ROOT}[test]"], environment)


def run(command: list[str | Path], environment: Environment, **variables: str) -> None:
    """Run a command, with its output in the environment's log."""
    compiled = environment.directory / "compiled"  # by Python and by numba
    given = {"PYTHONPYCACHEPREFIX": str(compiled), "NUMBA_CACHE_DIR": str(compiled / "numba")}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with environment.log.open("a", encoding="utf-8") as log:
        subprocess.run(
            command,
            check=True,
            cwd=ROOT,
            env={**inherited, **given, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run_demo(environment: Environment) -> None:
    """Run the demo with an empty home. Raises RuntimeError if it leaves something there."""
    with tempfile.TemporaryDirectory() as home:
        run([environment.python, "samples/demo.py"], environment, HOME=home, TMPDIR=home)
        left = [str(path) for path in Path(home).rglob("*")]
        if left:
            raise RuntimeError(f"the demo left {', '.join(left)} behind")


def run_tests(environment: Environment) -> None:
    """Run the quick tests; tests that need a missing library are skipped and say so."""
    run([environment.python, "-m", "pytest", *QUICK], environment)


def outcome(environment: Environment, stages: list[str]) -> str:
    """Make the environment, run the demo and the tests; return a line with the result."""
    for stage, do in (("install", make), ("demo", run_demo), ("tests", run_tests)):
        if stage not in stages:
            continue
        start_s = time.monotonic()
        try:
            do(environment)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            shown = environment.log.read_text(encoding="utf-8").splitlines()[-SHOWN_LINES:]
            print("\n".join(shown), flush=True)
            return f"Python {environment.name}: FAILED in {stage}: {error} (see {environment.log})"
        print(f"Python {environment.name}: {stage}: {time.monotonic() - start_s:.0f} s", flush=True)
    return f"Python {environment.name}: passed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="NAME", help="such as 3.12, or '3.13.0 lowest'"
    )
    parser.add_argument(
        "--stages", nargs="+", default=["install", "demo", "tests"], help="what to do of each"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side")
    args = parser.parse_args()
    environments = [
        Environment(f"{'.'.join(map(str, version))} {versions}", interpreter, versions)
        for version, interpreter in interpreters().items()
        for versions in VERSIONS
    ]
    chosen = [one for one in environments if one.name.startswith(tuple(args.only))]
    uv()
    with ThreadPoolExecutor(args.jobs) as executor:
        lines = list(executor.map(lambda one: outcome(one, args.stages), chosen))
    print("\n".join(lines) or f"there is no Python {' or '.join(args.only)}")
    return 0 if lines and all(line.endswith("passed") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
