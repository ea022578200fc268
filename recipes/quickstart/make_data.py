"""Make a tiny corpus of made-up words in which each letter is a tone.

python make_data.py [DIRECTORY]: the corpus is in `data/` beside this file by default.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
LETTER_S = 0.1
TONES_HZ = {"a": 400.0, "b": 800.0, "c": 1300.0, "d": 2000.0, "e": 3000.0}
WORDS = ("bad", "cab", "dab", "ace", "deca", "abed", "decade")


def sing(text: str, rng: np.random.Generator) -> np.ndarray:
    """The waveform of a text, (N,) float32: a tone for each letter, silence for each space."""
    time_s = np.arange(round(LETTER_S * RATE_HZ)) / RATE_HZ
    pieces = [np.zeros(len(time_s))]
    for letter in text:
        tone_hz = TONES_HZ.get(letter, 0.0) * rng.uniform(0.98, 1.02)
        pieces.append(0.3 * np.sin(2 * np.pi * tone_hz * time_s))
    waveform = np.concatenate([*pieces, pieces[0]])
    return np.asarray(waveform + 0.003 * rng.standard_normal(len(waveform)), np.float32)


def write_part(directory: Path, name: str, texts: Sequence[str], rng: np.random.Generator) -> Path:
    """Write recordings of the texts into a directory `name`, and a manifest beside it."""
    lines = []
    for index, text in enumerate(texts):
        waveform = sing(text, rng)
        path = directory / name / f"{index:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, RATE_HZ)
        record = {
            "audio_filepath": f"{name}/{path.name}",
            "duration": len(waveform) / RATE_HZ,
            "text": text,
        }
        lines.append(json.dumps(record) + "\n")
    manifest = directory / f"{name}.jsonl"
    manifest.write_text("".join(lines))
    return manifest


def random_texts(num_texts: int, rng: np.random.Generator) -> list[str]:
    """Random texts of one to four words."""
    return [" ".join(rng.choice(WORDS, rng.integers(1, 5))) for _ in range(num_texts)]


def main() -> None:
    """Write a part for training and a part for evaluation."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    rng = np.random.default_rng(0)
    for name, num_texts in (("train", 64), ("dev", 16)):
        write_part(directory, name, random_texts(num_texts, rng), rng)


if __name__ == "__main__":
    main()
