"""Compare our decoder with pyctcdecode on the cases of pyctcdecode's test suite.

    git clone https://github.com/kensho-technologies/pyctcdecode
    python -m venv peer && peer/bin/pip install 'numpy<2' kenlm pygtrie hypothesis
    python benchmarks/peer_cases.py --source pyctcdecode --python peer/bin/python

The checkout has their data (libri_logits.json, bugs_bunny_kenlm.arpa). Their decoder runs in its
own Python, because it needs an older numpy. docs/how-to/coming-from-other-decoders.md says how we
convert settings. Scores are natural logarithms of the best hypothesis.
"""

import argparse
import json
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.phrases import HotPhrase
from ds2.ctc.settings import BeamSettings
from ds2.ngram.model import NgramModel
from ds2.recognition.segments import words_of
from ds2.text.alphabet import Alphabet

READ_SPEECH = [*" abcdefghijklmnopqrstuvwxyz'"]
CARTOON = [*" bgnsuy"]
SIDE_BY_SIDE = 20  # hypotheses compared
NUM_RANDOM = 100

PEER = """
import json, logging, sys
import numpy as np
logging.disable(logging.CRITICAL)
from pyctcdecode import build_ctcdecoder
from pyctcdecode.language_model import HotwordScorer

def hypotheses(case):
    decoder = build_ctcdecoder(case["labels"] + [""], case["arpa"], alpha=case["alpha"],
                               beta=case["beta"], unk_score_offset=case["unk_score_offset"])
    width, log_probs = case["beam_width"], np.array(case["log_probs"])
    pruning = {"beam_prune_logp": -case["beam_threshold"], "token_min_logp": case["token_min_logp"]}
    hot = {"hotwords": case["hotwords"], "hotword_weight": case["hotword_weight"]}
    if not case["cuts"]:
        beams = decoder.decode_beams(log_probs, width, **pruning, **hot)
        return [(beam.text, [frames for _, frames in beam.text_frames], beam.lm_score)
                for beam in beams]
    scorer = HotwordScorer.build_scorer(case["hotwords"], weight=case["hotword_weight"])
    beams, lm_cache, partial_cache = decoder.get_starting_state()
    borders = [0, *case["cuts"], len(log_probs)]
    for start, stop in zip(borders, borders[1:]):
        beams = decoder.partial_decode_beams(log_probs[start:stop], lm_cache, partial_cache, beams,
            start, width, hotword_scorer=scorer, is_end=stop == len(log_probs), **pruning)
    return [(beam.text, beam.text_frames, beam.lm_score) for beam in beams]

print(json.dumps([hypotheses(case) for case in json.load(sys.stdin)]))
"""


@dataclass(frozen=True)
class Case:
    """The inputs for both decoders, with pyctcdecode's names."""

    name: str
    labels: list[str]
    log_probs: list[list[float]]  # (T, V), the blank last
    arpa: str | None = None
    alpha: float = 0.5
    beta: float = 1.5
    unk_score_offset: float = -10.0
    beam_width: int = 100
    beam_threshold: float = 10.0
    token_min_logp: float = -5.0
    hotwords: list[str] = field(default_factory=list)
    hotword_weight: float = 10.0
    cuts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A hypothesis of either decoder."""

    text: str
    frames: list[tuple[int, int]]  # for each word
    score: float


def converted(case: Case) -> BeamSettings:
    """Our settings for a case."""
    price = case.alpha * case.unk_score_offset * math.log(10)
    return BeamSettings(
        beam_width=case.beam_width,
        beam_threshold=case.beam_threshold,
        label_mass=1 - math.exp(case.token_min_logp) if case.token_min_logp else 1.0,
        max_labels=len(case.labels) if case.token_min_logp else 1,
        lm_weight=case.alpha,
        word_bonus=case.beta if case.arpa else 0.0,
        unknown_word_score=min(0.0, price),
    )


def ours(cases: Sequence[Case]) -> list[list[Found]]:
    """Our decoder's hypotheses for each case."""
    found = []
    for case in cases:
        alphabet = Alphabet("characters", "en", tuple(case.labels))
        lm = NgramModel.load(case.arpa, unit="word") if case.arpa else None
        words = dict.fromkeys(" ".join(case.hotwords).split())  # as pyctcdecode splits them
        phrases = [HotPhrase(word, case.hotword_weight) for word in words]
        search = BeamSearch(alphabet, converted(case), lm, phrases)
        decoder = search.decoder(num_hypotheses=SIDE_BY_SIDE)
        log_probs = np.roll(np.array(case.log_probs), 1, axis=1)  # our blank comes first
        for piece in np.split(log_probs.astype(np.float32), case.cuts):
            decoder.feed(piece)
        hypotheses = []
        for hypothesis in decoder.best(SIDE_BY_SIDE):
            words_found = words_of(hypothesis.tokens, alphabet, 1.0, len(log_probs))
            text = " ".join(word.text for word in words_found)
            frames = [(round(word.start_s), round(word.end_s)) for word in words_found]
            hypotheses.append(Found(text, frames, hypothesis.scores.total))
        found.append(hypotheses)
    return found


def theirs(cases: Sequence[Case], python: Path, source: Path) -> list[list[Found]]:
    """pyctcdecode's hypotheses for each case, from its own Python."""
    done = subprocess.run(
        [python, "-c", PEER],
        input=json.dumps([asdict(case) for case in cases]),
        env={"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return [
        [
            Found(" ".join(text.split()), [*map(tuple, frames)], score)
            for text, frames, score in case
        ]
        for case in json.loads(done.stdout)
    ]


def normalised(logits: npt.ArrayLike) -> list[list[float]]:
    """The log-probabilities (T, V) of logits."""
    values = np.asarray(logits, np.float64)
    sums = np.logaddexp.reduce(values, axis=1, keepdims=True)
    rows: list[list[float]] = (values - sums).tolist()
    return rows


def spoken(*frames: str | Mapping[str, float]) -> list[list[float]]:
    """log_probs of the cartoon alphabet: each frame is a letter ("-" is the blank) or a mixture."""
    probs = np.full((len(frames), len(CARTOON) + 1), 1e-15)
    for row, frame in zip(probs, frames, strict=True):
        for letter, prob in ({frame: 1.0} if isinstance(frame, str) else frame).items():
            row[CARTOON.index(letter) if letter != "-" else -1] += prob
    return normalised(np.log(probs))


def mixed(first: str, second: str, share: float) -> list[Mapping[str, float]]:
    """Frames of one word with a probability, and of another word otherwise."""
    pairs = zip(first, second, strict=True)
    return [{a: 1.0} if a == b else {a: share, b: 1 - share} for a, b in pairs]


def arpa_of(source: Path) -> str:
    return str(source / "pyctcdecode" / "tests" / "sample_data" / "bugs_bunny_kenlm.arpa")


def cases_of(source: Path) -> list[Case]:
    """The cases of pyctcdecode's suite, and random frames."""
    data = source / "pyctcdecode" / "tests" / "sample_data"
    arpa = arpa_of(source)
    libri = normalised(json.loads((data / "libri_logits.json").read_text()))
    doubt = spoken(*mixed("bun-ny", "bugs--", 0.51), " ", *"bun-ny")
    reverse = spoken(*"bugs", " ", *mixed("bugs--", "bun-ny", 0.51))
    stretched = spoken(*" -bun-nny-  ")
    open_wide: dict[str, Any] = {"beam_threshold": 1000.0, "token_min_logp": -60.0}
    cartoon = [
        Case("two readings", CARTOON, doubt),
        Case("two readings, nothing pruned", CARTOON, doubt, **open_wide),
        Case("LM, alpha 0, unknown words free", CARTOON, doubt, arpa, 0.0, 1.5, 0.0),
        Case("LM, alpha 0.5", CARTOON, doubt, arpa),
        Case("LM, alpha 1", CARTOON, doubt, arpa, 1.0),
        Case("LM, nothing pruned", CARTOON, doubt, arpa, unk_score_offset=0.0, **open_wide),
        Case("argmax only", CARTOON, doubt, arpa, token_min_logp=0.0),
        Case("LM sees the word before", CARTOON, reverse, arpa),
        Case("second half alone", CARTOON, reverse[5:], arpa),
        Case("hot bunny, LM", CARTOON, doubt, arpa, hotwords=["bunny"], hotword_weight=20.0),
        Case("hot bugs, bunny, LM", CARTOON, doubt, arpa, hotwords=["bugs", "bunny"]),
        Case("hot bugs bunny, LM", CARTOON, doubt, arpa, hotwords=["bugs bunny"]),
        Case("hot bugs", CARTOON, doubt, hotwords=["bugs"]),
        Case("stretched word", CARTOON, stretched),
        Case("in pieces", CARTOON, doubt, cuts=[3, 8]),
        Case("in pieces, LM", CARTOON, doubt, arpa, cuts=[3, 8]),
        Case("in pieces, hot bugs", CARTOON, doubt, hotwords=["bugs"], cuts=[3, 8]),
    ]
    speech = [
        Case("LibriSpeech", READ_SPEECH, libri),
        Case(
            "LibriSpeech, pruned less", READ_SPEECH, libri, None, 0.5, 1.5, -10.0, 200, 20.0, -9.0
        ),
        Case("LibriSpeech, LM without its words", READ_SPEECH, libri, arpa),
        Case("the same, pruned less", READ_SPEECH, libri, arpa, beam_threshold=60.0),
        Case("LibriSpeech, hot achieved", READ_SPEECH, libri, hotwords=["achieved"]),
    ]
    return cartoon + speech


def random_cases(arpa: str | None) -> list[Case]:
    """Frames of noise, with a beam so wide that nothing is pruned."""
    random = np.random.default_rng(0)
    noise = [normalised(2 * random.normal(size=(4, 8))) for _ in range(NUM_RANDOM)]
    return [
        Case("noise", CARTOON, log_probs, arpa, 0.5, 1.5, -1.0, 10_000, 1000.0, -100.0)
        for log_probs in noise
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="a checkout of pyctcdecode")
    parser.add_argument("--python", type=Path, required=True, help="a Python that can run it")
    args = parser.parse_args()
    console = Console(width=170)

    cases = cases_of(args.source)
    table = Table("case", "pyctcdecode", "ds2 (= the same)", "score", "ds2 -", "times", "n-best")
    for case, peer, own in zip(
        cases, theirs(cases, args.python, args.source), ours(cases), strict=True
    ):
        table.add_row(case.name, *compared(peer, own))
    console.print(table)
    for arpa in (None, arpa_of(args.source)):
        console.print(random_summary(args.python, args.source, arpa))


def compared(peer: Sequence[Found], own: Sequence[Found]) -> list[str]:
    """The cells of a row."""
    same = own[0].text == peer[0].text
    shared = {found.text for found in peer[:SIDE_BY_SIDE]} & {found.text for found in own}
    shown = [text if len(text) < 40 else f"{text[:38]}.." for text in (peer[0].text, own[0].text)]
    return [
        shown[0],
        "=" if same else shown[1],
        f"{peer[0].score:.4f}",
        f"{own[0].score - peer[0].score:+.4f}",
        times_compared(peer[0], own[0]) if same else "",
        f"{len(shared)} of {min(len(peer), SIDE_BY_SIDE)}, {len(own)}",
    ]


def times_compared(peer: Found, own: Found) -> str:
    """The number of words with the same frames, and the largest difference."""
    gaps = np.abs(np.array(own.frames) - np.array(peer.frames)).max(axis=1)
    equal = np.count_nonzero(gaps == 0)
    return "=" if equal == len(gaps) else f"{equal} of {len(gaps)}, {gaps.max()} off"


def random_summary(python: Path, source: Path, arpa: str | None) -> str:
    """Print how often both decoders find the same in noise."""
    cases = random_cases(arpa)
    pairs = [*zip(theirs(cases, python, source), ours(cases), strict=True)]
    same = [peer[0].text == own[0].text for peer, own in pairs]
    gaps = []
    for peer, own in pairs:
        scores = {found.text: found.score for found in peer}
        gaps += [abs(scores[f.text] - f.score) for f in own if f.text in scores]
    equal = np.mean(np.array(gaps) < 1e-3)
    name = f"noise, {'with' if arpa else 'no'} LM, nothing pruned"
    return f"{name}: {sum(same)} of {len(same)} best texts; {equal:.0%} of scores to 0.001"


if __name__ == "__main__":
    main()
