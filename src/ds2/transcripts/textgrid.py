"""Words with times as a TextGrid, which Praat shows under the waveform."""

from collections.abc import Iterator, Mapping, Sequence

from ds2.transcripts.transcript import Word

Interval = tuple[float, float, str]
"""Start and end in seconds, and the words between them; "" for a pause."""


def to_textgrid(tiers: Mapping[str, Sequence[Word]], duration_s: float) -> str:
    """A TextGrid in the long text form, with an interval tier for each name.

    The words of a tier must be in time order and must not overlap.
    """
    ends_s = [round(duration_s, 3), *(words[-1].end_s for words in tiers.values() if words)]
    end_s = max(ends_s)  # rounding may put a word's end after the end of the audio
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end_s:.3f}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, words) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", *_tier(name, list(_intervals(words, end_s)), end_s)]
    return "\n".join(lines) + "\n"


def _intervals(words: Sequence[Word], end_s: float) -> Iterator[Interval]:
    """The words, and between them empty intervals, as Praat needs them."""
    last_s = 0.0
    for word in words:
        if word.start_s > last_s:
            yield last_s, word.start_s, ""
        yield word.start_s, word.end_s, word.text
        last_s = word.end_s
    if end_s > last_s:
        yield last_s, end_s, ""


def _tier(name: str, intervals: Sequence[Interval], end_s: float) -> Iterator[str]:
    yield '        class = "IntervalTier"'
    yield f"        name = {_quoted(name)}"
    yield "        xmin = 0"
    yield f"        xmax = {end_s:.3f}"
    yield f"        intervals: size = {len(intervals)}"
    for number, (start_s, last_s, text) in enumerate(intervals, 1):
        yield f"        intervals [{number}]:"
        yield f"            xmin = {start_s:.3f}"
        yield f"            xmax = {last_s:.3f}"
        yield f"            text = {_quoted(text)}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
