"""The demo and the quick tests of the runtime, on every Python there is: `make pythons`.

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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".venv-pythons"
OLDEST = (3, 11)
VERSIONS = ("newest", "lowest")
# Below its wheels a compiled library would be built from source; this one is plain Python.
WHEELS = ("--only-binary", ":all:", "--no-binary", "docopt", "--no-binary", "deepspeech2")
QUICK = ("-m", "not slow", "-p", "no:cacheprovider", "--ignore", "tests/training")


@dataclass(frozen=True)
class Environment:
    """One interpreter with the newest or the lowest versions."""

    name: str  # "3.12.1 lowest"
    interpreter: Path
    versions: str

    @property
    def directory(self) -> Path:
        return PLACE / self.name.replace(" ", "-")

    @property
    def python(self) -> Path:
        """Its own interpreter."""
        windows = self.directory / "Scripts" / "python.exe"
        return windows if windows.exists() else self.directory / "bin" / "python"


def interpreters() -> dict[tuple[int, ...], Path]:
    """The newest interpreter of each version from 3.11 on: (3, 12, 1) -> its path."""
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
    """The installer that can choose the lowest versions, in an environment of its own."""
    tool = PLACE / "uv" / "bin" / "uv"
    if not tool.exists():
        subprocess.run([sys.executable, "-m", "venv", PLACE / "uv"], check=True)
        pip = [PLACE / "uv" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv>=0.5"]
        subprocess.run(pip, check=True)
    return str(tool)


def make(environment: Environment) -> None:
    """Make the environment anew."""
    shutil.rmtree(environment.directory, ignore_errors=True)
    installer = uv()
    venv = [installer, "venv", "--quiet", "--python", environment.interpreter]
    subprocess.run([*venv, environment.directory], check=True)
    resolution = "highest" if environment.versions == "newest" else "lowest-direct"
    install = [installer, "pip", "install", "--quiet", "--python", environment.python]
    choice = ["--resolution", resolution, *WHEELS]
    subprocess.run([*install, *choice, "-e", f"{ROOT}[test]"], check=True)


def run_demo(environment: Environment) -> None:
    """The demo, in an empty home: RuntimeError if it leaves something there."""
    with tempfile.TemporaryDirectory() as home:
        given = {**os.environ, "HOME": home, "TMPDIR": home}
        command = [environment.python, "samples/demo.py"]
        subprocess.run(command, check=True, cwd=ROOT, env=with_caches(given, environment))
        left = [str(path) for path in Path(home).rglob("*")]
        if left:
            raise RuntimeError(f"the demo left {', '.join(left)} behind")


def run_tests(environment: Environment) -> None:
    command = [environment.python, "-m", "pytest", *QUICK]
    subprocess.run(command, check=True, cwd=ROOT, env=with_caches(dict(os.environ), environment))


def with_caches(variables: dict[str, str], environment: Environment) -> dict[str, str]:
    """The environment's variables, with what Python and numba compile kept in its directory."""
    directory = environment.directory / "compiled"
    return {
        **variables,
        "PYTHONPYCACHEPREFIX": str(directory),
        "NUMBA_CACHE_DIR": str(directory / "numba"),
    }


def outcome(environment: Environment, stages: list[str]) -> str:
    """Make the environment, run the demo and the tests; returns the line that tells of it."""
    for stage, do in (("install", make), ("demo", run_demo), ("tests", run_tests)):
        if stage not in stages:
            continue
        start_s = time.monotonic()
        try:
            do(environment)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            return f"Python {environment.name}: FAILED in {stage}: {error}"
        print(f"Python {environment.name}: {stage}: {time.monotonic() - start_s:.0f} s", flush=True)
    return f"Python {environment.name}: passed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="such as 3.12, or '3.12.1 lowest'")
    parser.add_argument(
        "--stages", nargs="+", default=["install", "demo", "tests"], help="what to do of each"
    )
    args = parser.parse_args()
    lines = []
    for version, interpreter in interpreters().items():
        for versions in VERSIONS:
            name = f"{'.'.join(map(str, version))} {versions}"
            if name.startswith(args.only):
                lines.append(outcome(Environment(name, interpreter, versions), args.stages))
    print("\n".join(lines) or f"there is no Python {args.only}")
    return 0 if lines and all(line.endswith("passed") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
