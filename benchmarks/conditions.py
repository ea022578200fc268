"""Measure the errors of a model with noise, rooms, telephones and other speeds, one at a time.

    python benchmarks/conditions.py data/en-dev/manifest.jsonl -m models/en --noise data/noise

Use a development set and not a test set, because people look at these results often. --seed and the
utterance's place determine every change, so all models and all runs get the same audio.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ds2 import Recognizer
from ds2.audio import Waveform, read_audio
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.evaluation.evaluation import Evaluation, score
from ds2.manifest import Utterance, read_manifest
from ds2.text.normalise import normalise
from ds2.training.augment import NoiseBank, augmentation_rng, room_tail
from ds2.training.changes import change_speed, limit_band, mix_noise, reverberate

TELEPHONE_HZ = (300.0, 3400.0)


def main() -> None:
    """Print a table, a row for each condition."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--noise", type=Path, required=True, help="a manifest of noises")
    parser.add_argument("--seed", type=int, default=0)
    add_decoding(parser)
    args = parser.parse_args()
    recognizer = load_recognizer(args)
    utterances = read_manifest(args.manifest)
    waveforms = [read_audio(utterance.audio_path) for utterance in utterances]
    noise = NoiseBank([utterance.audio_path for utterance in read_manifest(args.noise)])
    print("| condition | WER % | CER % |\n|---|---|---|")
    for name, worsened in _conditions(waveforms, noise, args.seed).items():
        heard = [worsened(index) for index in range(len(waveforms))]
        result = _evaluated(recognizer, utterances, heard)
        word, character = (
            f"{100 * rate.rate:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
            for rate in (result.words, result.characters)
        )
        print(f"| {name} | {word} | {character} |", flush=True)


def _conditions(
    waveforms: Sequence[Waveform], noise: NoiseBank, seed: int
) -> dict[str, Callable[[int], Waveform]]:
    """Changes to an utterance, each with its name; the utterance's place is the seed."""

    def rng(index: int) -> np.random.Generator:
        return augmentation_rng(seed, 0, index)

    def noisy(snr_db: float) -> Callable[[int], Waveform]:
        def mixed(index: int) -> Waveform:
            waveform = waveforms[index]
            return mix_noise(waveform, noise.draw(len(waveform), rng(index)), snr_db)

        return mixed

    def disturbed(index: int) -> Waveform:
        waveform, other = waveforms[index], waveforms[index - 1]
        return mix_noise(waveform, np.resize(other, len(waveform)), 10.0)

    return {
        "as recorded": lambda index: waveforms[index],
        "noise, 20 dB below the speech": noisy(20.0),
        "noise, 10 dB": noisy(10.0),
        "noise, 0 dB": noisy(0.0),
        "another voice, 10 dB": disturbed,
        "a telephone's band, 300 to 3400 Hz": lambda index: limit_band(
            waveforms[index], *TELEPHONE_HZ
        ),
        "a room, 0.5 s, 3 dB": lambda index: reverberate(
            waveforms[index], room_tail(0.5, 3.0, rng(index))
        ),
        "15% faster": lambda index: change_speed(waveforms[index], 115),
        "15% slower": lambda index: change_speed(waveforms[index], 85),
        "20 dB quieter": lambda index: waveforms[index] * np.float32(0.1),
    }


def _evaluated(
    recognizer: Recognizer, utterances: Sequence[Utterance], waveforms: Sequence[Waveform]
) -> Evaluation:
    language = recognizer.bundle.language
    scored = []
    for index, transcript in recognizer.transcribe_many(waveforms):
        if isinstance(transcript, Exception):
            raise transcript
        reference = normalise(utterances[index].text or "", language)
        hypothesis = normalise(transcript.text, language)
        scored.append(
            score(utterances[index], transcript.duration_s, reference, hypothesis, language)
        )
    return Evaluation(tuple(scored))


if __name__ == "__main__":
    main()
