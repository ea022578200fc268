"""Finds what two manifests share. Training and test data should share nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ds2.corpora.checks.corpus import Corpus, Item
from ds2.corpora.checks.problem import Problem

BANDWIDTH_FACTOR = 1.25  # corpora that differ by this factor sound different

MAX_NAMED = 50  # most unseen characters in a message


@dataclass(frozen=True)
class Overlap:
    """The numbers of utterances of one manifest that share something with another."""

    manifest: str  # the other one
    num_same_audio: int
    num_same_speaker: int
    num_same_text: int


def compare(corpus: Corpus, other: Corpus) -> tuple[Overlap, list[Problem]]:
    """Compare two corpora: what they share, and whether they sound alike.

    The same audio and the same speakers are errors. The same texts and another bandwidth are notes.
    """
    audio = list(_same_audio(corpus, other))
    speakers = {item.speaker for item in other.items} - {None}
    texts = {item.text for item in other.items}
    num_same_text = sum(item.text in texts for item in corpus.items if item.text)
    overlap = Overlap(
        manifest=str(other.path),
        num_same_audio=len(audio),
        num_same_speaker=sum(item.speaker in speakers for item in corpus.items),
        num_same_text=num_same_text,
    )
    notes = [*_texts_note(corpus, other, num_same_text), *_bandwidth_note(corpus, other)]
    return overlap, [*audio, *_same_speakers(corpus, other), *notes]


def _same_audio(corpus: Corpus, other: Corpus) -> Iterator[Problem]:
    known: dict[object, Item] = {}
    for item in other.items:
        known.setdefault(item.stretch, item)
        known.setdefault(item.digest, item)
    known.pop(None, None)
    for item in corpus.items:
        twin = known.get(item.stretch) or known.get(item.digest)
        if twin:
            message = f"the same audio as {twin.utterance.where}"
            yield Problem("leak", item.utterance.where, message)


def _same_speakers(corpus: Corpus, other: Corpus) -> Iterator[Problem]:
    """One problem for each speaker, at the first utterance."""
    known = {item.speaker: item for item in reversed(other.items)}
    seen: set[str | None] = {None}
    for item in corpus.items:
        if item.speaker in known and item.speaker not in seen:
            place = known[item.speaker].utterance.where
            message = f"speaker {item.speaker} also speaks in {place}"
            yield Problem("leak", item.utterance.where, message)
        seen.add(item.speaker)


def _texts_note(corpus: Corpus, other: Corpus, num_same_text: int) -> Iterator[Problem]:
    if num_same_text:
        share = f"{num_same_text} of {len(corpus.items)} ({num_same_text / len(corpus.items):.1%})"
        message = f"{share} utterances have a text that is also in {other.path}"
        yield Problem("shared text", str(corpus.path), message)


def unseen_characters(corpus: Corpus, others: Sequence[Corpus]) -> Iterator[Problem]:
    """A note about characters that no other manifest has. English is left out, with so few."""
    known = {character for other in others for item in other.items for character in item.text}
    counts = Counter(
        character for item in corpus.items if item.language != "en" for character in item.text
    )
    unseen = [character for character, _ in counts.most_common() if character not in known]
    if unseen:
        share = sum(counts[character] for character in unseen) / counts.total()
        named = " ".join(unseen[:MAX_NAMED]) + (" ..." if len(unseen) > MAX_NAMED else "")
        message = f"{len(unseen)} characters, {share:.2%} of the text, are in no other: {named}"
        yield Problem("unseen", str(corpus.path), message)


def _bandwidth_note(corpus: Corpus, other: Corpus) -> Iterator[Problem]:
    here, there = (
        [item.sound.bandwidth_hz for item in each.items if item.sound] for each in (corpus, other)
    )
    if not here or not there:
        return
    ours, theirs = median(here), median(there)
    if max(ours, theirs) > BANDWIDTH_FACTOR * min(ours, theirs):
        message = f"half reach {ours / 1000:g} kHz, but {theirs / 1000:g} kHz in {other.path}"
        yield Problem("bandwidth", str(corpus.path), f"{message}: they do not sound alike")
