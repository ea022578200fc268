"""Writes the statistics of a corpus as one HTML page without other files, light and dark."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from ds2.corpora.statistics.picture import draw_stats, svgs_of
from ds2.corpora.statistics.stats import Description, Part, Spread
from ds2.evaluation.report import STYLE

MAX_CHARACTERS = 200
"""Most characters in a table, the most common ones first."""

MORE_STYLE = """
.wide { overflow-x: auto } img { width: 100%; height: auto }
td.number + td.number, th.number { white-space: nowrap }
"""

Row = tuple[str, Callable[[Description], str]]


def number(value: float | None, digits: int = 1) -> str:
    """A number as text; a dash for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def spread(values: Spread | None, digits: int = 1) -> str:
    """The least value, the median, the 95th percentile and the largest value."""
    if values is None:
        return "-"
    shown = (values.least, values.median, values.p95, values.most)
    return " / ".join(number(value, digits) for value in shown)


def low_spread(values: Spread | None, digits: int = 1) -> str:
    """The 5th percentile, the median and the 95th, for values whose low end matters."""
    if values is None:
        return "-"
    return " / ".join(number(value, digits) for value in (values.p5, values.median, values.p95))


def rows_of(description: Description) -> list[tuple[str, str]]:
    """Names and values, for a table of two columns."""
    speakers, texts, sounds = description.speakers, description.texts, description.sounds
    seen = f"{len(texts.characters):,}"
    if texts.alphabet_size:
        seen += f"; {texts.num_labels_seen:,} of the {texts.alphabet_size:,} labels of the alphabet"
    rates = ", ".join(f"{r / 1000:g} kHz ({n:,})" for r, n in sounds.sample_rates_hz.items())
    rows = [
        ("clips", f"{description.num_clips:,}"),
        ("hours", f"{description.hours:,.2f}"),
        ("duration (s): min / median / p95 / max", spread(description.duration_s, 2)),
        ("speakers", f"{speakers.num:,}" + _besides(speakers.num_without, "clips without one")),
        ("minutes of a speaker: min / median / p95 / max", spread(speakers.minutes)),
        ("words", f"{texts.num_words:,}" + _besides(texts.num_without, "clips without a text")),
        ("words of a clip: min / median / p95 / max", spread(texts.words_per_clip, 0)),
        ("words a second: p5 / median / p95", low_spread(texts.words_per_s, 2)),
        ("characters", f"{texts.num_characters:,}"),
        ("characters a second: p5 / median / p95", low_spread(texts.characters_per_s)),
        ("different texts", f"{texts.num_distinct:,}"),
        ("different characters", seen),
        ("outside the alphabet", _counts(texts.outside, 12) if texts.alphabet_size else "-"),
        ("measured", f"{sounds.num_heard:,} of {description.num_clips:,} clips"),
    ]
    if sounds.num_heard:
        rows += [
            ("level (dBFS): p5 / median / p95", low_spread(sounds.level_db)),
            ("peak (dBFS): p5 / median / p95", low_spread(sounds.peak_db)),
            ("speech over noise (dB, estimated): p5 / median / p95", low_spread(sounds.snr_db)),
            (
                "upper end of the spectrum (kHz): p5 / median / p95",
                low_spread(sounds.bandwidth_khz),
            ),
            (
                "clipped, silent",
                f"{_of(sounds.num_clipped, sounds.num_heard)}, {sounds.num_silent}",
            ),
            ("sample rates", rates),
        ]
    return rows


GROUP_COLUMNS: tuple[Row, ...] = (
    ("clips", lambda it: f"{it.num_clips:,}"),
    ("hours", lambda it: f"{it.hours:,.2f}"),
    ("speakers", lambda it: f"{it.speakers.num:,}"),
    ("sec.", lambda it: number(it.duration_s.median if it.duration_s else None)),
    ("chars/s", lambda it: _median(it.texts.characters_per_s)),
    ("dBFS", lambda it: _median(it.sounds.level_db)),
    ("SNR", lambda it: _median(it.sounds.snr_db)),
    ("kHz", lambda it: _median(it.sounds.bandwidth_khz)),
    ("clip", lambda it: _of(it.sounds.num_clipped, it.sounds.num_heard)),
)
"""Heading and cell of each column in the table of groups. A column of many values shows medians."""


def stats_html(
    whole: Description, groups: Sequence[Description], parts: Sequence[Part], by: str | None
) -> str:
    """The page. parts: the groups in the plots."""
    facts = [(escape(name), escape(value)) for name, value in rows_of(whole)]
    sections = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>ds2 corpus stats</title><style>{STYLE}{MORE_STYLE}</style></head><body>",
        f"<h1>{escape(whole.name)}</h1>",
        f"<p class='big'>{whole.hours:,.1f} hours &nbsp; {whole.num_clips:,} clips &nbsp; "
        f"{whole.speakers.num:,} speakers</p>",
        _picture(parts),
        _table(("", ""), facts),
    ]
    if by is not None:
        rows = [(escape(it.name), *(escape(c(it)) for _, c in GROUP_COLUMNS)) for it in groups]
        headings = (by, *(heading for heading, _ in GROUP_COLUMNS))
        sections += [f"<h2>By {escape(by)}</h2>", _table(headings, rows)]
    largest = [(escape(name), f"{each:.2f}") for name, each in whole.speakers.largest.items()]
    if largest:
        sections += ["<h2>Who speaks most</h2>", _table(("speaker", "hours"), largest)]
    sections += _characters("Characters", whole.texts.characters)
    if whole.texts.outside:
        sections += _characters("Outside the alphabet", whole.texts.outside)
    sections += [f"<p>{NOTES}</p>", "</body></html>\n"]
    return "\n".join(sections)


NOTES = (
    "Level is the mean power. A square wave at full scale has 0 dBFS. Speech over noise is an "
    "estimate: the noise is the power of the quietest tenth of the frames of 20 ms, and the speech "
    "is the rest of the mean power. A clip is clipped if over 0.1% of its samples are at full "
    "scale. The spectrum ends at the highest band within 60 dB of the strongest band."
)


def _picture(parts: Sequence[Part]) -> str:
    light, dark = map(_data_uri, svgs_of(draw_stats(parts)))
    return (
        f"<picture><source media='(prefers-color-scheme: dark)' srcset='{dark}'>"
        f"<img alt='Histograms of durations, paces, lengths of texts, levels, noise and bandwidth; "
        f"hours of speakers and uses of characters by rank' src='{light}'></picture>"
    )


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _characters(title: str, counts: Mapping[str, int]) -> list[str]:
    """A heading and a folded table of characters and their counts."""
    rows = [
        ("space" if c == " " else escape(c), f"U+{ord(c):04X}", f"{count:,}")
        for c, count in list(counts.items())[:MAX_CHARACTERS]
    ]
    is_open = "open" if len(rows) <= 30 else ""
    head = f"<h2>{title}</h2><details {is_open}><summary>{len(counts):,} characters</summary>"
    more = len(counts) - len(rows)
    tail = f"<p>{more:,} more are not shown.</p></details>" if more else "</details>"
    return [head, _table(("character", "", "times"), rows), tail]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. The cells are HTML already. All columns except the first are numbers."""
    head = "".join(
        f"<th{' class=number' * bool(index)}>{escape(heading)}</th>"
        for index, heading in enumerate(headings)
    )
    body = "".join(
        f"<tr><td>{row[0]}</td>{''.join(f'<td class=number>{c}</td>' for c in row[1:])}</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _median(values: Spread | None) -> str:
    return number(values.median if values else None)


def _besides(count: int, what: str) -> str:
    return f" ({count:,} {what})" if count else ""


def _of(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "-"


def _counts(counts: Mapping[str, int], most: int) -> str:
    named = ", ".join(f"{c} ({count:,})" for c, count in list(counts.items())[:most])
    return (named + (", ..." if len(counts) > most else "")) or "none"
