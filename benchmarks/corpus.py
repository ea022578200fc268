"""Measure quality and speed of utterances from a long recording with a wrong transcript.

    python benchmarks/corpus.py data/en-dev/manifest.jsonl -m en --noise data/noise/manifest.jsonl

It joins the clips of a manifest to one recording, in random order, with gaps of silence and noise.
It damages the text: it drops, adds or changes a share of the words. Then `ds2 corpus align`,
`segment` and `filter` make utterances from it. The true times of words come from a forced alignment
of each clip by itself with its own text, by the same model.

With --lengths it measures time and memory of `ds2 corpus align` on recordings with these lengths in
minutes, which repeat the same recording.
"""

import argparse
import bisect
import difflib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.corpora.long.align import SpokenWord, read_aligned
from ds2.errors import InputError
from ds2.evaluation.metrics import EditCounts, word_errors
from ds2.manifest import Utterance, read_manifest
from ds2.recognition.aligner import Aligner
from ds2.text.normalise import normalise

Truth = list[tuple[str, float, float]]
"""Words with their starts and ends in seconds."""

GAP_S = (0.2, 2.0)
NOISE_SHARE = 0.1  # of the gaps also have three seconds of noise
KEPT_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", default="en")
    parser.add_argument("--noise", type=Path, help="a manifest of noises")
    parser.add_argument(
        "--damage", type=float, default=0.15, help="share of the words to damage (0.15)"
    )
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument(
        "--lengths", help="measure time and memory for these minutes, such as 10,60,600"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ds2-bench-") as name:
        directory = Path(name)
        rng = random.Random(args.seed)
        truth, duration_s = build(args, directory, rng)
        words = damage([word for word, _, _ in truth], args.damage, rng)
        (directory / "talk.txt").write_text(" ".join(words))
        print(f"{duration_s / 60:.1f} minutes, {len(truth)} words said, {len(words)} in the text")
        if args.lengths:
            measure_lengths(args, directory, words, duration_s)
        else:
            measure(args, directory, truth, words, duration_s)


def build(args: argparse.Namespace, directory: Path, rng: random.Random) -> tuple[Truth, float]:
    """Write talk.wav; return the times of its words, and its duration."""
    aligner = Aligner.load(args.model)
    language = aligner.bundle.language
    noises = read_manifest(args.noise) if args.noise else []
    utterances = read_manifest(args.manifest)
    rng.shuffle(utterances)
    hiss = np.random.default_rng(args.seed)
    truth: Truth = []
    num_samples = 0
    with soundfile.SoundFile(directory / "talk.wav", "w", SAMPLE_RATE_HZ, 1) as file:

        def write(waveform: np.ndarray) -> None:
            nonlocal num_samples
            file.write(waveform)
            num_samples += len(waveform)

        for utterance in utterances:
            text = normalise(utterance.text or "", language)
            try:
                found = aligner.align(utterance, text).transcript
            except InputError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            write(hiss.normal(0, 1e-3, int(rng.uniform(*GAP_S) * SAMPLE_RATE_HZ)))
            if noises and rng.random() < NOISE_SHARE:
                write(0.3 * read_audio(rng.choice(noises).audio_path, duration_s=3.0))
            now_s = num_samples / SAMPLE_RATE_HZ
            truth += [(w.text, now_s + w.start_s, now_s + w.end_s) for w in found.words]
            write(read_audio(utterance.audio_path))
    return truth, num_samples / SAMPLE_RATE_HZ


def damage(words: list[str], share: float, rng: random.Random) -> list[str]:
    """The words with damage: of the share, a third dropped, a third added, a third changed."""
    damaged = []
    for word in words:
        draw = rng.random()
        if draw >= share / 3:
            if draw < share:
                damaged.append(rng.choice(words))
            if draw < 2 * share / 3 or draw >= share:
                damaged.append(word)
    return damaged


def measure(
    args: argparse.Namespace, directory: Path, truth: Truth, words: list[str], duration_s: float
) -> None:
    """Align, segment and filter; print the quality of the results."""
    talk, aligned = str(directory / "talk.wav"), directory / "aligned.jsonl"
    cut, kept = directory / "cut.jsonl", directory / "kept.jsonl"
    model = ["-m", args.model]
    align_s = timed("align", talk, str(directory / "talk.txt"), *model, "-o", str(aligned))
    show_times(read_aligned(aligned)[0].words, truth, words)
    timed("segment", str(aligned), "-o", str(cut))
    filter_s = timed("filter", str(cut), *model, "-o", str(kept), "--threshold", "0")
    segments = read_manifest(cut)
    segments_s = sum(utterance.duration_s or 0 for utterance in segments)
    print(f"before: {rate_of([word_errors(*pair) for pair in [said_and_given(truth, words)]]):.1%}")
    show_filter(read_manifest(kept), truth, duration_s)
    print(f"align: {duration_s / align_s:.0f} hours an hour and core")
    print(f"filter: {segments_s / filter_s:.0f} hours an hour and core, its learning included")


def said_and_given(truth: Truth, words: list[str]) -> tuple[str, str]:
    return " ".join(word for word, _, _ in truth), " ".join(words)


def timed(*arguments: str) -> float:
    """CPU seconds of a `ds2 corpus` command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "ds2", "corpus", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show_times(found: tuple[SpokenWord | str, ...], truth: Truth, words: list[str]) -> None:
    """Print the errors of word times, and the number of words left out."""
    matcher = difflib.SequenceMatcher(None, [word for word, _, _ in truth], words, autojunk=False)
    true_of = {
        block.b + index: truth[block.a + index]
        for block in matcher.get_matching_blocks()
        for index in range(block.size)
    }
    errors_s, num_lost, num_wrong_kept = [], 0, 0
    for index, word in enumerate(found):
        if index not in true_of:
            num_wrong_kept += not isinstance(word, str)
        elif isinstance(word, str):
            num_lost += 1
        else:
            errors_s += [abs(word.start_s - true_of[index][1]), abs(word.end_s - true_of[index][2])]
    median_s, p95_s = np.quantile(errors_s, [0.5, 0.95])
    print(f"word times: median error {1000 * median_s:.0f} ms, p95 {1000 * p95_s:.0f} ms")
    print(
        f"{num_lost} of {len(true_of)} right words left out, "
        f"{num_wrong_kept} of {len(words) - len(true_of)} wrong ones kept"
    )


def show_filter(utterances: list[Utterance], truth: Truth, duration_s: float) -> None:
    """Print error rates of the kept utterances at several thresholds."""
    middles = [(start_s + end_s) / 2 for _, start_s, end_s in truth]
    counts, probabilities, seconds = [], [], []
    for utterance in utterances:
        length_s = utterance.duration_s or 0.0
        first = bisect.bisect_left(middles, utterance.offset_s)
        last = bisect.bisect_left(middles, utterance.offset_s + length_s)
        said = " ".join(word for word, _, _ in truth[first:last])
        counts.append(word_errors(said, utterance.text or ""))
        probabilities.append(utterance.extra["good"])
        seconds.append(length_s)
    table = Table("threshold", "utterances", "of the recording", "WER", "quite right", box=None)
    for share in KEPT_SHARES:
        threshold = float(np.quantile(probabilities, 1 - share))
        inside = [index for index, value in enumerate(probabilities) if value >= threshold]
        num_right = sum(counts[index].rate == 0 for index in inside)
        table.add_row(
            f"{threshold:.2f}",
            f"{len(inside)} ({len(inside) / len(utterances):.0%})",
            f"{sum(seconds[index] for index in inside) / duration_s:.0%}",
            f"{rate_of([counts[index] for index in inside]):.1%}",
            f"{num_right / len(inside):.0%}",
        )
    Console(width=100).print(table)


def rate_of(counts: list[EditCounts]) -> float:
    wrong = sum(c.num_substitutions + c.num_deletions + c.num_insertions for c in counts)
    return wrong / max(1, sum(count.num_reference for count in counts))


def measure_lengths(
    args: argparse.Namespace, directory: Path, words: list[str], duration_s: float
) -> None:
    """Print time and memory of `ds2 corpus align` by the length of the recording."""
    waveform = read_audio(directory / "talk.wav")
    table = Table("minutes", "CPU s", "hours an hour", "peak memory", box=None)
    for minutes in map(float, args.lengths.split(",")):
        times = minutes * 60 / duration_s
        path, text = directory / "long.flac", directory / "long.txt"
        with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1) as file:
            left = round(minutes * 60 * SAMPLE_RATE_HZ)
            while left > 0:
                file.write(waveform[:left])
                left -= len(waveform)
        whole, part = int(times), times - int(times)
        text.write_text(" ".join(words * whole + words[: round(part * len(words))]))
        command = [sys.executable, "-m", "ds2", "corpus", "align", str(path), str(text)]
        command += ["-m", args.model, "-o", str(directory / "long.jsonl")]
        seconds, megabytes = measured(command)
        table.add_row(
            f"{minutes:g}", f"{seconds:.1f}", f"{minutes * 60 / seconds:.0f}", f"{megabytes:.0f} MB"
        )
    Console(width=100).print(table)


def measured(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a command, in a process that only waits for it."""
    script = (
        "import json, resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
        "stderr=subprocess.DEVNULL); usage = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], check=True, capture_output=True, text=True
    )
    seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


if __name__ == "__main__":
    start_s = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start_s:.0f} s in all")
