"""The beam search side by side with pyctcdecode, flashlight-text and fast-ctc-decode, in one run.

    python -m venv peers
    peers/bin/pip install pyctcdecode kenlm flashlight-text fast-ctc-decode 'numpy<2'
    python benchmarks/decoder.py --peers-python peers/bin/python --english-text en.txt \\
        --mandarin-text zh.txt

There are three sets: the outputs of models/en for the development set, artificial posteriors of
held-out English sentences (29 labels), and of held-out Mandarin sentences (5,000 labels). The
language models are 3-grams of words or characters. They come from the texts without the held-out
sentences and without the sentences of the development and test sets. All decoders have the same
model, alpha and beta. Each has its own default pruning; flashlight runs with the thresholds 25 and
12, and ours with 16 and 12. There is one thread. Each round runs all decoders in turn. The figures
are medians of CPU time for decoding alone, without process start and loading.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ds2.cli import main as ds2
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.settings import BeamSettings
from ds2.evaluation.evaluation import total
from ds2.evaluation.metrics import character_errors, word_errors
from ds2.manifest import read_manifest
from ds2.ngram.model import NgramModel
from ds2.text.normalise import normalise
from figures import Figure, keep
from posteriors import Posteriors, common_characters, english, made_up, of_model, split_of

ALPHA, BETA = 0.5, {"en": 1.5, "zh": 1.0}
NUM_MANDARIN = 5000
PEERS = ("pyctcdecode", "flashlight", "fast-ctc-decode")
TEST_SETS = ("en-dev", "en-test", "zh-dev", "zh-test")
PEERS = ("pyctcdecode", "flashlight, threshold 25")  # whose figures are kept
SLOWEST_S = 60.0  # a decoder that took longer for a set runs only once


@dataclass(frozen=True)
class Contest:
    """A set, and the inputs for all decoders."""

    posteriors: Posteriors
    lm: Path  # lm.bin; the ARPA file beside it has the same name
    file: Path  # the posteriors, for peers

    @property
    def language(self) -> str:
        return self.posteriors.alphabet.language


@dataclass(frozen=True)
class Entrant:
    """A decoder with its settings."""

    name: str
    peer: str | None = None  # None: ours
    settings: BeamSettings | None = None  # for ours; None: greedy
    beam_threshold: float = 25.0


def entrants(beam: int, language: str) -> Iterator[Entrant]:
    """The decoders for a beam width."""
    common = BeamSettings(beam_width=beam, lm_weight=ALPHA, word_bonus=BETA[language])
    closed = replace(common, unknown_word_score=None)
    yield Entrant("ours", settings=common)
    yield Entrant("ours, threshold 12", settings=replace(common, beam_threshold=12.0))
    yield Entrant("ours, closed, 12", settings=replace(closed, beam_threshold=12.0))
    yield Entrant("pyctcdecode", "pyctcdecode")
    yield Entrant("flashlight, threshold 25", "flashlight")
    yield Entrant("flashlight, threshold 12", "flashlight", beam_threshold=12.0)
    yield Entrant("fast-ctc-decode (no LM)", "fast-ctc-decode")


def main() -> None:
    """Build language models, decode in rounds, print tables."""
    args = _arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    console = Console()
    for contest in _contests(args, console):
        console.print(f"\n{_described(contest)}")
        console.print(_table(contest, args))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", help="without it, only our decoder runs")
    parser.add_argument(
        "--english-text", type=Path, required=True, help="text with a sentence in each line"
    )
    parser.add_argument(
        "--mandarin-text",
        type=Path,
        help="the same in Mandarin; without it, there is no Mandarin set",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder with en-dev and other sets"
    )
    parser.add_argument("--model", default="en")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS, help="(all)")
    parser.add_argument("--beams", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--utterances", type=int, default=40, help="of each set")
    parser.add_argument("--work", type=Path, default=Path("runs/bench-decoder"))
    return parser.parse_args()


def _contests(args: argparse.Namespace, console: Console) -> Iterator[Contest]:
    forbidden = _test_sentences(args.data)
    split = split_of(args.english_text, "en", args.utterances, forbidden)
    console.print(f"English text: {split.num_forbidden} sentences of test sets left out")
    lm = _language_model(split.training, "en", args.work)
    dev = args.data / "en-dev" / "manifest.jsonl"
    if dev.is_file():
        yield _contest(of_model(args.model, dev, args.utterances), lm, args.work)
    yield _contest(made_up("made up, 29 labels", english(), split.held_out), lm, args.work)
    if args.mandarin_text:
        split = split_of(args.mandarin_text, "zh", args.utterances // 2, forbidden)
        console.print(f"Mandarin text: {split.num_forbidden} sentences of test sets left out")
        alphabet = common_characters(split.training, split.held_out, NUM_MANDARIN - 1)
        lm = _language_model(split.training, "zh", args.work)
        name = f"made up, {len(alphabet)} labels"
        yield _contest(made_up(name, alphabet, split.held_out), lm, args.work)


def _test_sentences(data: Path) -> set[str]:
    return {
        normalise(utterance.text or "", name[:2])
        for name in TEST_SETS
        if (path := data / name / "manifest.jsonl").is_file()
        for utterance in read_manifest(path)
    }


def _language_model(sentences: Sequence[str], language: str, work: Path) -> Path:
    """Build lm.bin, and the ARPA file beside it."""
    text, lm = work / f"{language}.txt", work / f"{language}-3.bin"
    text.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    unit = "word" if language == "en" else "character"
    options = ["--order", "3", "--unit", unit, "--language", language]
    _run(["lm", "build", str(text), "-o", str(lm), *options])
    _run(["lm", "convert", str(lm), "-o", str(lm.with_suffix(".arpa"))])
    return lm


def _run(arguments: list[str]) -> None:
    if ds2(arguments):
        raise SystemExit(f"ds2 {' '.join(arguments)} failed")


def _contest(posteriors: Posteriors, lm: Path, work: Path) -> Contest:
    file = work / f"{posteriors.name.replace(' ', '-').replace(',', '')}.npz"
    np.savez(file, **{f"u{index}": array for index, array in enumerate(posteriors.log_probs)})
    return Contest(posteriors, lm, file)


def _described(contest: Contest) -> str:
    posteriors = contest.posteriors
    frames = sum(map(len, posteriors.log_probs))
    texts = []
    for log_probs in posteriors.log_probs:
        decoder = GreedyDecoder()
        decoder.feed(log_probs)
        texts.append(_text(contest, decoder.best()[0]))
    return (
        f"{posteriors.name}: {len(texts)} utterances of {frames / len(texts):.0f} frames, "
        f"{frames * posteriors.stride_s / len(texts):.1f} s; greedy {_error(contest, texts):.2f}%"
    )


def _table(contest: Contest, args: argparse.Namespace) -> Table:
    table = Table(title=f"{'WER' if contest.language == 'en' else 'CER'}, median CPU time")
    for heading in ("beam", "decoder", "ms/utt", "utt/s", "RTF", "error %", "time / ours"):
        table.add_column(heading, justify="left" if heading == "decoder" else "right")
    duration_s = contest.posteriors.stride_s * sum(map(len, contest.posteriors.log_probs))
    num_utterances = len(contest.posteriors.references)
    for beam in args.beams:
        results: dict[str, list[dict[str, Any]]] = {}
        for _ in range(args.rounds):
            for entrant in entrants(beam, contest.language):
                earlier = results.setdefault(entrant.name, [])
                if entrant.peer and not (args.peers_python and entrant.peer in args.peers):
                    continue
                if earlier and earlier[-1]["wall_s"] > SLOWEST_S:
                    continue
                earlier.append(_decoded(contest, entrant, beam, args.peers_python))
        ours = median(result["cpu_s"] for result in results["ours"])
        for name, rounds in results.items():
            if rounds:
                cpu_s = median(result["cpu_s"] for result in rounds)
                error = _error(contest, rounds[0]["texts"])
                table.add_row(
                    str(beam),
                    name,
                    f"{1000 * cpu_s / num_utterances:.1f}",
                    f"{num_utterances / cpu_s:.1f}",
                    f"{cpu_s / duration_s:.5f}",
                    f"{error:.2f}",
                    f"{cpu_s / ours:.2f}",
                )
                title = f"beam search, {contest.posteriors.name}, beam {beam}"
                mine_ms, its_ms = (1000 * each / num_utterances for each in (ours, cpu_s))
                if name in PEERS:
                    keep(Figure(title, "ms/utterance", mine_ms, name, its_ms))
                elif name == "ours" and not args.peers_python:
                    keep(Figure(title, "ms/utterance", mine_ms))
    return table


def _decoded(contest: Contest, entrant: Entrant, beam: int, python: str) -> dict[str, Any]:
    """The time of a decoder for a set, and its texts."""
    if entrant.peer is None:
        return _ours(contest, entrant)
    lm = NgramModel.load(contest.lm)
    job = {
        "peer": entrant.peer,
        "posteriors": str(contest.file),
        "num_utterances": len(contest.posteriors.references),
        "language": contest.language,
        "symbols": list(contest.posteriors.alphabet.symbols),
        "arpa": str(contest.lm.with_suffix(".arpa")),
        "words": lm.vocabulary[3:],
        "alpha": ALPHA,
        "beta": BETA[contest.language],
        "beam": beam,
        "beam_threshold": entrant.beam_threshold,
        "most_labels": 40,
    }
    script = Path(__file__).with_name("decoder_peers.py")
    ran = subprocess.run(
        [python, str(script)], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{entrant.name}: {ran.stderr.strip().splitlines()[-1]}")
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def _ours(contest: Contest, entrant: Entrant) -> dict[str, Any]:
    posteriors = contest.posteriors
    lm = NgramModel.load(contest.lm)
    search = BeamSearch(posteriors.alphabet, entrant.settings, lm)
    search.decode_batch(posteriors.log_probs[:1], num_threads=1)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    found = search.decode_batch(posteriors.log_probs, num_threads=1)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    texts = [_text(contest, hypotheses[0]) for hypotheses in found]
    return {"cpu_s": cpu_s, "wall_s": wall_s, "texts": texts}


def _text(contest: Contest, hypothesis: Any) -> str:
    return contest.posteriors.alphabet.decode(token.label for token in hypothesis.tokens)


def _error(contest: Contest, texts: Sequence[str]) -> float:
    """The error rate in per cent, in words; in Mandarin, in characters."""
    counts = [
        word_errors(reference, " ".join(text.split()))
        if contest.language == "en"
        else character_errors(reference, text, "zh")
        for reference, text in zip(contest.posteriors.references, texts, strict=True)
    ]
    return 100 * total(counts).rate


if __name__ == "__main__":
    main()
