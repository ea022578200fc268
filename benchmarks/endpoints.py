"""Where segments of live speech end, with and without the voice-activity detector.

    python benchmarks/endpoints.py data/en-dev/manifest.jsonl --noise data/noise/manifest.jsonl

It joins utterances with gaps of two to four seconds between them, with near silence or with noise.
A gap should have an endpoint, and the words around it should be in two segments. There should be no
endpoint inside an utterance. The delay is the time from the end of the utterance to the endpoint.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.manifest import Utterance, read_manifest
from ds2.recognition.endpoint import EndpointRules
from ds2.recognition.recognizer import Recognizer
from ds2.recognition.voice import VoiceDetector
from ds2.transcripts.events import Endpoint

GAP_S = (2.0, 4.0)
PIECE = SAMPLE_RATE_HZ // 10
EDGE_S = 0.3  # at both ends of a clip, where speakers are mostly silent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", default="en")
    parser.add_argument("--noise", type=Path, required=True, help="a manifest of noises")
    parser.add_argument("--noise-db", type=float, default=-30.0, help="of full scale (-30)")
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    add_decoding(parser)
    args = parser.parse_args()
    recognizer = load_recognizer(args)
    table = Table(
        "gaps", "detector", "gaps ended", "cut utterances", "delay s, median", "p95", box=None
    )
    for kind in ("silence", "noise"):
        audio, spoken = joined(args, with_noise=kind == "noise")
        for name, voice in (("off", None), ("on", VoiceDetector())):
            ends_s = endpoints(recognizer, audio, voice)
            table.add_row(kind, name, *judged(ends_s, spoken))
    Console(width=100).print(table)


def joined(
    args: argparse.Namespace, *, with_noise: bool
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The audio, and the start and end of each utterance in it."""
    rng = random.Random(args.seed)
    noises = read_manifest(args.noise)
    utterances = rng.sample(read_manifest(args.manifest), args.utterances)
    hiss = np.random.default_rng(args.seed)
    pieces: list[np.ndarray] = []
    spoken: list[tuple[float, float]] = []
    num_samples = 0
    for utterance in utterances:
        gap = hiss.normal(0, 1e-3, int(rng.uniform(*GAP_S) * SAMPLE_RATE_HZ)).astype(np.float32)
        if with_noise:
            gap += noise_like(rng.choice(noises), len(gap), args.noise_db)
        speech = read_audio(utterance.audio_path)
        pieces += [gap, speech]
        num_samples += len(gap)
        start_s = num_samples / SAMPLE_RATE_HZ
        num_samples += len(speech)
        spoken.append((start_s + EDGE_S, num_samples / SAMPLE_RATE_HZ - EDGE_S))
    pieces.append(np.zeros(int(GAP_S[1] * SAMPLE_RATE_HZ), np.float32))
    return np.concatenate(pieces), spoken


def noise_like(noise: Utterance, num_samples: int, level_db: float) -> np.ndarray:
    waveform = np.resize(read_audio(noise.audio_path), num_samples)
    power = float(np.sqrt(np.mean(waveform**2))) or 1.0
    return waveform * np.float32(10 ** (level_db / 20) / power)


def endpoints(recognizer: Recognizer, audio: np.ndarray, voice: VoiceDetector | None) -> np.ndarray:
    """The times of the endpoints."""
    stream = recognizer.stream(endpoints=EndpointRules(), voice=voice)
    events = [
        event
        for start in range(0, len(audio), PIECE)
        for event in stream.feed(audio[start : start + PIECE])
    ]
    return np.array([event.time_s for event in events if isinstance(event, Endpoint)])


def judged(ends_s: np.ndarray, spoken: list[tuple[float, float]]) -> tuple[str, str, str, str]:
    """Gaps with an endpoint, utterances that are cut, and the delays of endpoints."""
    num_cut = sum(bool(((ends_s > start_s) & (ends_s < end_s)).any()) for start_s, end_s in spoken)
    next_starts_s = [start_s for start_s, _ in spoken[1:]] + [np.inf]
    delays_s = []
    for (_, end_s), next_s in zip(spoken, next_starts_s, strict=True):
        inside = ends_s[(ends_s >= end_s) & (ends_s <= next_s)]
        if len(inside):
            delays_s.append(inside[0] - end_s)
    median_s, p95_s = np.quantile(delays_s, [0.5, 0.95]) if delays_s else (np.nan, np.nan)
    total = len(spoken)
    return (
        f"{len(delays_s)} of {total}",
        f"{num_cut} of {total}",
        f"{median_s:.2f}",
        f"{p95_s:.2f}",
    )


if __name__ == "__main__":
    main()
