"""Recognisers in their own processes, and their answers, which are kept in files."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from ds2.audio import read_audio, write_wav
from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest import Utterance, read_manifest

ADAPTER = Path(__file__).with_name("accuracy_systems.py")


@dataclass(frozen=True)
class System:
    """A recogniser to compare, and how to start it.

    kind: its function in accuracy_systems.py; language: "" for all.
    """

    kind: str
    python: str = sys.executable
    model_dir: str = ""
    language: str = ""

    @property
    def is_ours(self) -> bool:
        return self.kind.startswith("ds2")

    def hears(self, language: str) -> bool:
        return self.language in ("", language)

    @cached_property
    def key(self) -> str:
        """The name for its kept answers; another model with the same name has another key."""
        digest = hashlib.sha256()
        for path in sorted(Path(self.model_dir).rglob("*")) if self.model_dir else []:
            if path.is_file():
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return f"{self.kind}-{digest.hexdigest()[:8]}"


@dataclass(frozen=True)
class About:
    """The facts that a recogniser gives after loading."""

    version: str
    model_bytes: int
    load_cpu_s: float
    streams: bool


@dataclass(frozen=True)
class Answer:
    """A recogniser's text for a recording, and its cost. load: the machine's load at that time."""

    text: str
    cpu_s: float
    peak_bytes: int
    load: float


class Running:
    """A recogniser's process, which takes one recording at a time and answers."""

    def __init__(self, system: System, process: "subprocess.Popen[str]", log: IO[bytes]) -> None:
        """Wait until it is loaded. Raises InputError if it fails."""
        self.system = system
        self._process = process
        self._log = log
        self.about = About(**self._read())

    def recognise(self, wav: Path) -> Answer:
        """Raises InputError if the process has failed."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"wav": str(wav)}) + "\n")
        self._process.stdin.flush()
        return Answer(**self._read(), load=os.getloadavg()[0])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines() or ["nothing said"]
        raise InputError(f"{self.system.kind}: its process failed: {said[-1]}")


@contextmanager
def running(system: System, language: str) -> Iterator[Running]:
    """Run a recogniser's process until the context ends. Raises InputError if it does not start."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [system.python, str(ADAPTER), system.kind, system.model_dir, language]
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **one_thread},
            )
        except OSError as error:
            raise InputError(f"{system.python}: cannot be run: {error.strerror}") from None
        with process:  # it ends when its input ends
            yield Running(system, process, log)


@dataclass(frozen=True)
class TestSet:
    """Utterances to recognise; each becomes a WAV file, once, at first use."""

    path: Path
    utterances: Sequence[Utterance]
    language: str
    wav_dir: Path
    key: str = field(repr=False)

    @property
    def name(self) -> str:
        return self.path.parent.name if self.path.stem == "manifest" else self.path.stem

    def wav(self, utterance: Utterance) -> Path:
        """The WAV file for all systems: 16 kHz, 16 bits, one channel."""
        path = self.wav_dir / f"{self.key}-{utterance.line}.wav"
        if not path.exists():
            waveform = read_audio(
                utterance.audio_path, offset_s=utterance.offset_s, duration_s=utterance.duration_s
            )
            write_wav(path, waveform)
        return path


def test_set(path: Path, wav_dir: Path) -> TestSet:
    """The test set of a manifest. Raises InputError if texts or the language are missing."""
    utterances = read_manifest(path)
    for utterance in utterances:
        if not utterance.text or utterance.duration_s is None:
            raise InputError(f"{utterance.where}: text and duration are needed")
    languages = {utterance.language for utterance in utterances}
    if len(languages) != 1 or None in languages:
        raise InputError(f'{path}: every line must have the same "language", en or zh')
    file = path if path.is_file() else path / "manifest.jsonl"
    key = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return TestSet(file, utterances, str(languages.pop()), wav_dir, key)


class Answers:
    """The answers of a system for a test set, kept in a file that grows by one line at a time.

    A stopped run can continue there, and a sample is part of the whole.
    """

    def __init__(self, directory: Path, system: System, test: TestSet) -> None:
        self.path = directory / f"{test.name}-{test.key}-{system.key}.jsonl"
        self.about: About | None = None
        self.by_line: dict[int, Answer] = {}  # by line of the manifest
        kept = self.path.read_text() if self.path.exists() else ""
        whole, _, cut_short = kept.rpartition("\n")
        if cut_short:
            with atomic_write(self.path) as file:
                file.write(whole + "\n")
        for line in whole.splitlines():
            fields = json.loads(line)
            if "version" in fields:
                self.about = About(**fields)
            else:
                number = fields.pop("line")
                self.by_line[number] = Answer(**fields)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.about, self.by_line = None, {}

    def keep_about(self, about: About) -> None:
        self.about = about
        self._append(asdict(about))

    def keep(self, line: int, answer: Answer) -> None:
        self.by_line[line] = answer
        self._append({"line": line, **asdict(answer)})

    def _append(self, fields: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")
