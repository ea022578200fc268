"""Turns articles of Wikipedia into text for a language model: one normalised sentence a line.

The articles are the files of WikiExtractor: lines `<doc ...>` and `</doc>` enclose each article.
Sentences with digits, brackets, symbols or foreign letters are left out, like those that Common
Voice leaves out of its prompts. Every sentence comes once.

A paragraph can hold a sentence of a test set in its middle, or with another end. Therefore a
sentence is also left out if it shares a long run of words or characters with a held-out sentence.

    python recipes/wikipedia_text.py --language en AA AB -o en-wikipedia.txt \
        --held-out data/en-dev data/en-test
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ds2.ngram.corpus import read_lines
from ds2.text.normalise import normalise

ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|St|Sts|Jr|Sr|Prof|Gen|Lt|Col|Capt|Sgt|Rev|Hon|Gov|Sen|Rep|Mt|Ft|No|vs|etc"
    r"|Inc|Ltd|Co|Corp|Bros|Vol|ca?|fl|pp?|ed|eds|cf|al|approx|[A-Za-z])\.$"
)
ENGLISH_END = re.compile(r"(?<=[.!?])[\"'”’]*\s+(?=[\"'“‘]?[A-Z])")
ENGLISH_SENTENCE = re.compile(r"[\"'“‘]?[A-Z][A-Za-z ,;:'\"‘’“”-]+[.!?][\"'”’]?")
MANDARIN_END = re.compile(r"(?<=[。！？；])[”’」』]*")
MANDARIN_SENTENCE = re.compile(r"[一-鿿，、：《》〈〉「」『』“”‘’·—…]+[。！？；]")
EMPTY_BRACKETS = re.compile(r"[（(][，、；：,;:\s]*[）)]")

LENGTHS = {"en": (4, 40), "zh": (4, 60)}
"""The fewest and the most words (in Mandarin, characters) of a sentence."""
RUNS = {"en": (5, 8), "zh": (6, 12)}
"""A held-out sentence with fewer words than the first number must match as a whole. Of others, a
run of as many words as the second number must not occur, nor the whole sentence."""


class Overlap:
    """Finds sentences that share a long run of words or characters with held-out sentences."""

    def __init__(self, held_out: Iterable[Sequence[str]], shortest: int, longest: int) -> None:
        self._shortest = shortest
        self._wholes: set[tuple[str, ...]] = set()
        self._runs: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
        for words in map(tuple, held_out):
            self._wholes.add(words)
            length = min(len(words), longest)
            if length < shortest:
                continue
            for start in range(len(words) - length + 1):
                run = words[start : start + length]
                self._runs[run[:shortest]].add(run)

    def touches(self, sentence: Sequence[str]) -> bool:
        """Whether the sentence is held out, or shares a long run with a held-out one."""
        words = tuple(sentence)
        if words in self._wholes:
            return True
        for start in range(len(words) - self._shortest + 1):
            for run in self._runs.get(words[start : start + self._shortest], ()):
                if words[start : start + len(run)] == run:
                    return True
        return False


def sentences_in(paragraph: str, language: str) -> Iterator[str]:
    """The whole, plain sentences of a paragraph."""
    end, sentence = (
        (ENGLISH_END, ENGLISH_SENTENCE) if language == "en" else (MANDARIN_END, MANDARIN_SENTENCE)
    )
    is_cut = False  # whether an abbreviation ended the part before, so that this part is a rest
    for part in end.split(EMPTY_BRACKETS.sub("", paragraph)):
        text = part.strip()
        was_cut, is_cut = is_cut, language == "en" and bool(ABBREVIATION.search(text))
        if not was_cut and not is_cut and sentence.fullmatch(text):
            yield text


def paragraphs(sources: Iterable[Path]) -> Iterator[str]:
    """The paragraphs of all articles."""
    for source in sources:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            for line in path.read_text("utf-8").splitlines():
                if line and not line.startswith(("<doc ", "</doc>")):
                    yield line


def units(text: str, language: str) -> Sequence[str]:
    """The words of a normalised English text, the characters of a Mandarin one."""
    return text.split() if language == "en" else text.replace(" ", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, help="folders with files of WikiExtractor")
    parser.add_argument("--language", choices=tuple(LENGTHS), required=True)
    parser.add_argument("--held-out", nargs="+", default=[], help="manifests that test the model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    language = args.language
    held_out = (normalise(line, language) for line in read_lines(args.held_out))
    overlap = Overlap((units(line, language) for line in held_out), *RUNS[language])
    fewest, most = LENGTHS[language]
    seen: set[int] = set()
    num_overlapping = 0
    with args.output.open("w", encoding="utf-8") as file:
        for paragraph in paragraphs(args.sources):
            for sentence in sentences_in(paragraph, language):
                if hash(sentence) in seen:
                    continue
                seen.add(hash(sentence))
                text = normalise(sentence, language)
                words = units(text, language)
                if not fewest <= len(words) <= most:
                    continue
                if overlap.touches(words):
                    num_overlapping += 1
                    continue
                file.write(f"{text}\n")
    print(
        f"{len(seen):,} sentences; {num_overlapping:,} left out because they overlap held-out ones"
    )


if __name__ == "__main__":
    main()
