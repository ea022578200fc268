"""Make clips and utterances from texts: choose voices, speak, and keep clips of earlier runs."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ds2.audio import probe_audio, write_wav
from ds2.audio.resampling import Waveform, resampled
from ds2.audio.writing import encode_flac, encode_opus
from ds2.corpora.checks.corpus import CheckOptions, language_of
from ds2.corpora.checks.sound import SILENT_PEAK
from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest import read_manifest
from ds2.manifest.utterance import Utterance, numbered_lines
from ds2.synthesis.engine import Engine, reason_of
from ds2.text.normalise import normalise

AudioFormat: TypeAlias = Literal["flac", "opus", "wav"]

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class SpeechRules:
    """The voices, and how they speak."""

    engine: str  # as the user gave it: names of clips depend on it
    voices: tuple[str, ...]
    speed: Range = (1.0, 1.0)  # 1 is the voice's own speed
    pitch: Range = (1.0, 1.0)
    takes: int = 1  # number of clips for each text
    seed: int = 0
    audio_format: AudioFormat = "flac"

    def __post_init__(self) -> None:
        for name, (low, high) in (("speed", self.speed), ("pitch", self.pitch)):
            if not 0.25 <= low <= high <= 4:
                raise ValueError(
                    f"{name}: {low:g}:{high:g}: give the lower value first, both from 0.25 to 4"
                )


@dataclass(frozen=True)
class Job:
    """A text, and the voice and settings to speak it with."""

    line: Utterance  # the line of the text: its place, text and language
    voice: str
    speed: float
    pitch: float
    seed: int  # for the engine


@dataclass(frozen=True)
class Spoken:
    """The result of a job."""

    utterance: Utterance | None  # None: there is an error
    error: str = ""
    was_there: bool = False  # whether an earlier run made the clip


def read_lines(path: Path) -> list[Utterance]:
    """The lines of a text file, or the texts of a manifest. Raises InputError."""
    if path.is_dir() or path.suffix in (".csv", ".jsonl", ".json"):
        return read_manifest(path)
    lines = list(numbered_lines(path))
    if lines and lines[0][1].startswith("{"):
        return read_manifest(path)
    if not lines:
        raise InputError(f"{path}: has no text")
    return [
        Utterance(path.absolute(), text=line.strip(), source_file=path, line=number)
        for number, line in lines
    ]


def styled(line: Utterance, language: str | None, *, raw_text: bool) -> Utterance:
    """The line with its language, and with its text as the engine speaks it."""
    found = language_of(line, CheckOptions(language=language))
    text = (line.text or "").strip()
    return replace(line, language=found, text=text if raw_text else normalise(text, found))


def chosen_voices(engine: Engine, patterns: Sequence[str]) -> list[str]:
    """The engine's voices that match a pattern (* and ?), sorted. Raises InputError."""
    there = engine.voices()
    if not patterns:
        if len(there) == 1:
            return there
        example = there[0] if there else "NAME"
        listed = "; --list-voices shows them" if there else ""
        count = f"{len(there):,} " if there else ""
        raise InputError(
            f"--voices: choose from the {count}voices of {engine.name}, such as {example}{listed}"
        )
    if not there:
        return sorted(set(patterns))
    for pattern in patterns:
        if not any(fnmatchcase(voice, pattern) for voice in there):
            raise InputError(
                f"--voices {pattern}: {engine.name} has no such voice; --list-voices shows all"
            )
    return sorted({v for v in there if any(fnmatchcase(v, pattern) for pattern in patterns)})


def jobs_of(lines: Sequence[Utterance], rules: SpeechRules) -> list[Job]:
    """All jobs: a function of the seed and each line's text, not of other lines.

    If a text appears again, another voice speaks it.
    """
    times: Counter[str] = Counter()
    jobs = []
    for line in lines:
        text = line.text or ""
        for _ in range(rules.takes):
            jobs.append(_job(line, text, times[text], rules))
            times[text] += 1
    return jobs


def _job(line: Utterance, text: str, take: int, rules: SpeechRules) -> Job:
    voices = rules.voices
    # A walk over all voices, so that the takes of a text have different voices.
    first = int(_draw(rules.seed, text, "voice") * len(voices))
    step = 1 + int(_draw(rules.seed, text, "step") * len(voices))
    while math.gcd(step, len(voices)) != 1:
        step += 1
    # By ratios, so that a tenth slower is as frequent as a tenth faster.
    speed, pitch = (
        round(low * (high / low) ** _draw(rules.seed, text, take, name), 3)
        for name, (low, high) in (("speed", rules.speed), ("pitch", rules.pitch))
    )
    seed = int(_draw(rules.seed, text, take, "engine") * 2**31)
    return Job(line, voices[(first + take * step) % len(voices)], speed, pitch, seed)


def _draw(*facts: object) -> float:
    """A number in [0, 1) for these facts, evenly distributed."""
    digest = blake2b(repr(facts).encode(errors="surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def speak_all(
    jobs: Sequence[Job],
    engine: Engine,
    rules: SpeechRules,
    directory: Path,
    num_threads: int = 1,
    on_done: Callable[[], object] = lambda: None,
) -> list[Spoken]:
    """Do the jobs in order; existing clips are kept.

    directory: takes the clips, each in a folder by the beginning of its name.
    """
    results: list[Spoken] = []
    with ThreadPoolExecutor(num_threads) as pool:
        # Piece by piece, so that an interrupt does not wait for all jobs.
        for start in range(0, len(jobs), 8 * num_threads):
            piece = jobs[start : start + 8 * num_threads]
            for spoken in pool.map(lambda job: _speak(job, engine, rules, directory), piece):
                results.append(spoken)
                on_done()
    return results


def _speak(job: Job, engine: Engine, rules: SpeechRules, directory: Path) -> Spoken:
    path = directory.absolute() / _clip_name(job, rules)
    try:
        duration_s = _duration_s(path)
        was_there = duration_s is not None
        if duration_s is None:
            _write_clip(path, _speak_text(job, engine), rules.audio_format)
            duration_s = _duration_s(path)
    except InputError as error:
        return Spoken(None, f"{job.line.where}: {error}")
    how: dict[str, Any] = {"synthetic": True, "engine": engine.name, "voice": job.voice}
    how |= {name: getattr(job, name) for name in ("speed", "pitch") if name in engine.varies}
    utterance = Utterance(
        audio_path=path,
        duration_s=duration_s,
        text=job.line.text,
        speaker=f"{engine.name}_{job.voice}",
        language=job.line.language,
        extra={**how, "seed": rules.seed},
    )
    return Spoken(utterance, was_there=was_there)


def _clip_name(job: Job, rules: SpeechRules) -> str:
    """The name of a clip: it differs if the sound may differ."""
    facts = (rules.engine, job.voice, job.speed, job.pitch, job.seed, job.line.text)
    name = blake2b(repr(facts).encode(errors="surrogatepass"), digest_size=10).hexdigest()
    return f"{name[:2]}/{name}.{rules.audio_format}"


def _duration_s(path: Path) -> float | None:
    """The duration of a clip in seconds; None if there is no readable clip."""
    if not path.exists():
        return None
    try:
        return probe_audio(path).duration_s
    except InputError:
        return None


def _speak_text(job: Job, engine: Engine) -> Waveform:
    """The speech of the engine, at 16 kHz. Raises InputError, whatever the engine raises."""
    text = job.line.text or ""
    if not text:
        raise InputError("the text has nothing to speak")
    try:
        speech = engine.speak(text, job.voice, speed=job.speed, pitch=job.pitch, seed=job.seed)
        return _waveform(*speech)
    except InputError as error:
        raise InputError(f"{engine.name}, voice {job.voice}: {error}") from None
    except Exception as error:  # the user's engine may raise anything
        reason = f"{engine.name}, voice {job.voice}: {reason_of(error)}"
        raise InputError(reason) from None


def _waveform(speech: NDArray[Any], sample_rate_hz: int) -> Waveform:
    """An engine's waveform as (N,) float32 at 16 kHz. Raises InputError."""
    speech = np.squeeze(np.asarray(speech))
    if speech.dtype == np.int16:
        speech = speech / np.float32(32768)
    if speech.ndim != 1 or speech.dtype.kind != "f":
        kind = f"{speech.dtype} of shape {speech.shape}"
        raise InputError(f"returns {kind}: it must return a waveform (N,), float or int16")
    peak = float(np.max(np.abs(speech), initial=0))
    if not math.isfinite(peak):
        raise InputError("returns a waveform with values that are not finite numbers")
    if peak < SILENT_PEAK:
        raise InputError("returns silence")
    if peak > 1:
        speech = speech / peak
    pieces = resampled([speech.astype(np.float32)], int(sample_rate_hz))
    return np.concatenate(list(pieces))


def _write_clip(path: Path, waveform: Waveform, audio_format: AudioFormat) -> None:
    if audio_format == "wav":
        write_wav(path, waveform)
        return
    encode = encode_flac if audio_format == "flac" else encode_opus
    with atomic_write(path, "wb") as file:
        file.write(encode(waveform))
