"""Log-probabilities to decode: from a model on recordings, and artificial ones from texts.

The artificial posteriors look like a CTC model's output: labels of one or two frames between blank
frames, a share of labels confused with others, and noise over all labels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ds2.audio import read_audio
from ds2.manifest import read_manifest
from ds2.recognition.recognizer import Recognizer
from ds2.text.alphabet import LATIN, Alphabet, english_characters
from ds2.text.normalise import normalise

FLOOR = 1e-6  # of every label in every frame
NOISE = 0.03  # the largest probability of all other labels together, in a frame
CONFUSED = {"en": 0.12, "zh": 0.25}  # share of labels for which another label is likelier


@dataclass(frozen=True)
class Posteriors:
    """A set to decode."""

    name: str
    alphabet: Alphabet
    log_probs: list[NDArray[np.float32]]  # (T, V) each
    references: list[str]
    stride_s: float


def of_model(model: str, manifest: Path, most: int) -> Posteriors:
    """A model's output for the first utterances of a manifest."""
    recognizer = Recognizer.load(model, greedy=True)
    utterances = read_manifest(manifest)[:most]
    bundle = recognizer.bundle
    return Posteriors(
        f"{bundle.path.name} on {manifest.parent.name}",
        bundle.alphabet,
        [recognizer.log_probs(read_audio(utterance.audio_path)) for utterance in utterances],
        [normalise(utterance.text or "", bundle.language) for utterance in utterances],
        bundle.output_stride_s,
    )


def made_up(name: str, alphabet: Alphabet, texts: Sequence[str], seed: int = 0) -> Posteriors:
    """Artificial output of a model with this alphabet for texts, with frames of 20 ms."""
    random = np.random.default_rng(seed)
    others = random.permutation(np.arange(1, len(alphabet)))  # each label's confusion
    space = alphabet.encode(" ")[0]
    log_probs = [
        _spoken(alphabet.encode(text), len(alphabet), others, space, alphabet.language, random)
        for text in texts
    ]
    return Posteriors(name, alphabet, log_probs, list(texts), 0.02)


def _spoken(
    labels: Sequence[int],
    num_labels: int,
    others: NDArray[np.int64],
    space: int,
    language: str,
    random: np.random.Generator,
) -> NDArray[np.float32]:
    frames: list[dict[int, float]] = []
    for label in labels:
        for _ in range(random.integers(1, 4)):
            frames.append({0: random.uniform(0.97, 0.999)})
        other = int(others[label - 1]) if label != space else int(random.choice(others))
        if random.random() < CONFUSED[language]:
            label, other = other, label
        sure = random.uniform(0.5, 0.95)
        spread = {label: sure, other: 0.7 * (1 - sure), 0: 0.2 * (1 - sure)}
        frames += [spread] * int(random.integers(1, 3))
    probs = FLOOR + NOISE / num_labels * random.random((len(frames), num_labels)) ** 8
    for row, spread in zip(probs, frames, strict=True):
        for label, share in spread.items():
            row[label] += share
    return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """A text, with some sentences held out."""

    training: list[str]
    held_out: list[str]
    num_forbidden: int  # sentences left out because they are in test sets


def split_of(
    path: Path, language: str, num_held_out: int, forbidden: set[str], seed: int = 0
) -> Split:
    """A text file's sentences without forbidden ones; held-out sentences are not in the rest."""
    lines = [normalise(line, language) for line in path.read_text(encoding="utf-8").splitlines()]
    if language == "zh":
        lines = ["".join(line.split()) for line in lines]
    sentences = [line for line in dict.fromkeys(lines) if line]
    allowed = [line for line in sentences if line not in forbidden]
    low, high = (60, 160) if language == "en" else (20, 60)
    usual = [line for line in allowed if low <= len(line) <= high and _is_plain(line, language)]
    held_out = np.random.default_rng(seed).choice(usual, num_held_out, replace=False).tolist()
    training = [line for line in allowed if line not in {*held_out}]
    return Split(training, held_out, len(sentences) - len(allowed))


def _is_plain(line: str, language: str) -> bool:
    return {*line} <= {*LATIN} if language == "en" else not any(map(str.isascii, line))


def common_characters(texts: Sequence[str], held_out: Sequence[str], count: int) -> Alphabet:
    """A Mandarin alphabet with this number of characters, and all characters of held-out texts."""
    needed = sorted({*"".join(held_out)})
    counts = Counter("".join(texts))
    frequent = [character for character, _ in counts.most_common() if not character.isascii()]
    characters = dict.fromkeys([*needed, *frequent])
    return Alphabet("characters", "zh", (" ", *list(characters)[: count - 1]))


def english() -> Alphabet:
    """The 28 English characters."""
    return english_characters()
