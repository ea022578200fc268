"""Compute error rates from answers, and write them as Markdown and plain data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accuracy_runs import About, Answer, System
from ds2.evaluation.evaluation import Evaluation, Rate, score
from ds2.manifest import Utterance
from ds2.text.normalise import normalise

NOT_SPEECH = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|♪")
"""Marks for sounds that are not words: [unk], (music), <sil>."""

SPELLINGS = {"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay"}
"""Words that corpora spell out and systems abbreviate. British and American spellings stay."""


def comparable(text: str, language: str) -> str:
    """Texts of all systems, and of the test set, in one style."""
    normalised = normalise(NOT_SPEECH.sub(" ", text), language)
    if language == "zh":
        return normalised
    return " ".join(SPELLINGS.get(word, word) for word in normalised.split())


NAMES = {
    "common_voice_en": "Common Voice",
    "commonvoice_zhCN": "Common Voice",
    "aishell1_sample": "AISHELL-1",
}
"""Readable names for the sources in the packs' manifests."""


PEER_NAMES = {
    "vosk": "Vosk",
    "whisper": "Whisper",
    "whisper-onnx": "Whisper",
    "moonshine": "Moonshine",
}
"""Readable names of peers. The name of the model's directory follows."""


@dataclass(frozen=True)
class Timing:
    """A system's computing time, measured side by side with the others."""

    cpu_s: float
    audio_s: float
    load: float

    @property
    def real_time_factor(self) -> float:
        return self.cpu_s / self.audio_s


@dataclass(frozen=True)
class Result:
    """The result of a system on a test set."""

    system: System
    about: About
    set_name: str
    language: str
    evaluation: Evaluation
    peak_bytes: int
    accuracy_pass_rtf: float
    timing: Timing | None = None

    @property
    def name(self) -> str:
        """The usual name of the system, with the name of its model's directory."""
        if self.system.is_ours:
            decoding = "language model" if self.system.kind == "ds2" else "greedy"
            return f"ds2 {Path(self.system.model_dir).name}, {decoding}"
        kind = PEER_NAMES.get(self.system.kind, self.system.kind)
        return f"{kind} {Path(self.system.model_dir).name}".strip()


def evaluated(
    utterances: Sequence[Utterance], answers: Mapping[int, Answer], language: str
) -> Evaluation:
    """The error rates of answers (by line of the manifest) for these utterances."""
    return Evaluation(
        tuple(
            score(
                utterance,
                utterance.duration_s or 0.0,
                comparable(utterance.text or "", language),
                comparable(answers[utterance.line].text, language),
                language,
            )
            for utterance in utterances
        )
    )


def markdown(results: Sequence[Result]) -> str:
    """A table for each test set."""
    parts = []
    for set_name in dict.fromkeys(result.set_name for result in results):
        of_set = [result for result in results if result.set_name == set_name]
        parts.append(_set_table(set_name, of_set))
    return "\n\n".join(parts)


def _set_table(set_name: str, results: Sequence[Result]) -> str:
    evaluation = results[0].evaluation
    language = results[0].language
    sources = list(evaluation.by_field("source"))
    sources = sources if len(sources) > 1 else []
    measure = "WER" if language == "en" else "CER"
    headings = ["system", "streams", "MB", f"{measure} %"]
    headings += ["CER %"] * (language == "en") + [f"{measure} % {NAMES.get(s, s)}" for s in sources]
    headings += ["RTF", "peak MB"]
    rows = [_row(result, sources) for result in results]
    lines = [f"| {' | '.join(cells)} |" for cells in [headings, ["---"] * len(headings), *rows]]
    hours = evaluation.duration_s / 3600
    units = "words" if language == "en" else "characters"
    num_units = evaluation.words.counts.num_reference
    title = (
        f"**{set_name}**: {len(evaluation.scored)} utterances, {hours:.2f} h, {num_units} {units}"
    )
    return "\n".join([title, "", *lines])


def _row(result: Result, sources: Sequence[str]) -> list[str]:
    evaluation, about = result.evaluation, result.about
    parts = evaluation.by_field("source")
    cells = [result.name, "yes" if about.streams else "no", f"{about.model_bytes / 1e6:.1f}"]
    cells.append(_shown(evaluation.words))
    if result.language == "en":
        cells.append(_shown(evaluation.characters))
    cells += [_shown(parts[source].words) for source in sources]
    cells.append(f"{result.timing.real_time_factor:.3f}" if result.timing else "")
    cells.append(f"{result.peak_bytes / 1e6:.0f}")
    return cells


def _shown(rate: Rate) -> str:
    return f"{100 * rate.rate:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def load_told(results: Sequence[Result]) -> str:
    """How busy the machine was, because that also changes CPU seconds."""
    load = float(np.mean([result.timing.load for result in results if result.timing]))
    busy = "a busy machine: compare rows, not absolute values" if load > 1.5 else "a quiet machine"
    return f"RTF: {busy} (mean load {load:.1f})."


def as_json(result: Result) -> dict[str, Any]:
    """The results as plain data; rates are fractions."""
    evaluation, timing = result.evaluation, result.timing
    return {
        "system": result.system.kind,
        "version": result.about.version,
        "streams": result.about.streams,
        "model_bytes": result.about.model_bytes,
        "set": result.set_name,
        "language": result.language,
        "all": _figures(evaluation),
        "by_source": {name: _figures(part) for name, part in evaluation.by_field("source").items()},
        "real_time_factor": timing.real_time_factor if timing else None,
        "timed_audio_s": timing.audio_s if timing else None,
        "load": timing.load if timing else None,
        "real_time_factor_of_the_accuracy_pass": result.accuracy_pass_rtf,
        "load_cpu_s": result.about.load_cpu_s,
        "peak_bytes": result.peak_bytes,
    }


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    words, characters, counts = evaluation.words, evaluation.characters, evaluation.words.counts
    return {
        "utterances": len(evaluation.scored),
        "duration_s": evaluation.duration_s,
        "wer": [words.rate, words.low, words.high],
        "cer": [characters.rate, characters.low, characters.high],
        "reference_length": counts.num_reference,
        "substitutions": counts.num_substitutions,
        "deletions": counts.num_deletions,
        "insertions": counts.num_insertions,
    }
