"""Error rate and time by beam width, greedy and with language models: a table in Markdown.

    python benchmarks/beam_width.py data/en-dev/manifest.jsonl -m en --lm 3-gram.bin --lm 5-gram.bin

The model's output is computed once. Time is the CPU time of decoding alone with one thread, in
multiples of real time. All rows have the same settings, with the given alpha and beta.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import Hypothesis
from ds2.ctc.settings import BeamSettings
from ds2.evaluation.evaluation import total
from ds2.evaluation.metrics import character_errors, word_errors
from ds2.ngram.model import NgramModel
from posteriors import Posteriors, of_model


def main() -> None:
    """Decode and print, a row at a time."""
    args = _arguments()
    dev = of_model(args.model, args.manifest, args.utterances)
    print("| decoder | beam | WER % | CER % | times real time |\n|---|---|---|---|---|", flush=True)
    start_s = time.process_time()
    _print_row(dev, "greedy", "", _greedy(dev), start_s)
    for lm_path in [None, *args.lm]:
        lm = NgramModel.load(lm_path) if lm_path else None
        name = f"{lm.order}-gram" if lm else "no language model"
        for width in args.beams:
            settings = BeamSettings(lm_weight=args.alpha, word_bonus=args.beta if lm else 0.0)
            price = None if args.closed else settings.unknown_word_score
            settings = replace(settings, beam_width=width, unknown_word_score=price)
            search = BeamSearch(dev.alphabet, settings, lm)
            search.decode_batch(dev.log_probs[:1], num_threads=1)  # compile, and load into memory
            start_s = time.process_time()
            found = search.decode_batch(dev.log_probs, num_threads=1)
            _print_row(dev, name, str(width), [best[0] for best in found], start_s)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--lm", type=Path, action="append", default=[])
    parser.add_argument("--alpha", type=float, default=0.7)
    parser.add_argument("--beta", type=float, default=0.0)
    parser.add_argument(
        "--closed", action="store_true", help="allow only the words of the language model"
    )
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 10, 100, 500])
    parser.add_argument("--utterances", type=int, default=10**6)
    return parser.parse_args()


def _greedy(dev: Posteriors) -> list[Hypothesis]:
    def decoded() -> Iterator[Hypothesis]:
        for log_probs in dev.log_probs:
            decoder = GreedyDecoder()
            decoder.feed(log_probs)
            yield decoder.best()[0]

    return list(decoded())


def _print_row(
    dev: Posteriors, name: str, beam: str, found: Sequence[Hypothesis], start_s: float
) -> None:
    cpu_s = time.process_time() - start_s
    duration_s = dev.stride_s * sum(map(len, dev.log_probs))
    texts = [
        " ".join(dev.alphabet.decode(token.label for token in hypothesis.tokens).split())
        for hypothesis in found
    ]
    pairs = list(zip(dev.references, texts, strict=True))
    wer = total(word_errors(reference, text) for reference, text in pairs).rate
    language = dev.alphabet.language
    cer = total(character_errors(reference, text, language) for reference, text in pairs).rate
    speed = duration_s / max(cpu_s, 1e-9)
    print(f"| {name} | {beam} | {100 * wer:.2f} | {100 * cer:.2f} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
