"""An evaluation as one self-contained HTML page: rates, groups, confusions, utterances."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ds2.evaluation.evaluation import Evaluation, Scored
from ds2.evaluation.metrics import AlignedToken

MAX_UTTERANCES = 2000
"""The page shows at most this number of utterances, worst first: browsers are slow with more."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c0392b; --good: #27855a; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left }
th { font-weight: 600 } .number { text-align: right; font-variant-numeric: tabular-nums }
.big { font-size: 1.6rem; font-weight: 600 }
.groups th:last-child { width: 45% }
.bar { background: var(--bad); height: .6rem; display: block; min-width: 1px }
del { color: var(--bad) } ins { color: var(--good); text-decoration: none; font-weight: 600 }
.where { opacity: .6; font-size: .8rem } details summary { cursor: pointer; font-weight: 600 }
"""


def evaluation_html(evaluation: Evaluation, facts: Mapping[str, str]) -> str:
    """The page. facts: shown above the figures, such as model and manifest."""
    ordered = sorted(evaluation.scored, key=lambda item: -item.words.counts.num_errors)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>ds2 evaluation</title><style>{STYLE}</style></head><body>",
        "<h1>Evaluation</h1>",
        _table(("", ""), [(escape(name), escape(value)) for name, value in facts.items()]),
        _rates(evaluation),
        _groups("By length", evaluation.by_length()),
        _groups("By speaker", evaluation.by_speaker()),
        "<h2>Most confused</h2>",
        _table(
            ("reference", "recognised", "times"),
            [(escape(a), escape(b), str(count)) for a, b, count in evaluation.confused(30)],
        ),
        "<h2>Utterances, the worst first</h2>",
        "<p>Red: words of the reference that the model missed. Green: words that the model put "
        "in.</p>",
        _table(("errors", "text"), [_utterance(item) for item in ordered[:MAX_UTTERANCES]]),
    ]
    if len(ordered) > MAX_UTTERANCES:
        parts.append(f"<p>{len(ordered) - MAX_UTTERANCES} more are not shown.</p>")
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _rates(evaluation: Evaluation) -> str:
    counts = evaluation.words.counts
    return (
        f"<p class='big'>WER {evaluation.words} &nbsp; CER {evaluation.characters}</p>"
        f"<p>{len(evaluation.scored)} utterances, {evaluation.duration_s / 3600:.2f} h, "
        f"{counts.num_reference} words: {counts.num_substitutions} substituted, "
        f"{counts.num_deletions} deleted, {counts.num_insertions} inserted. Intervals: 95%, by "
        "bootstrap over utterances.</p>"
    )


def _groups(title: str, groups: Mapping[str, Evaluation]) -> str:
    rows = []
    for name, group in groups.items():
        rate = group.words.rate
        bar = f"<span class='bar' style='width: {min(100, 100 * rate):.1f}%'></span>"
        figures = (len(group.scored), group.words.counts.num_reference)
        rows.append((escape(name), *map(str, figures), f"{100 * rate:.1f}%", bar))
    table = _table(("", "utterances", "words", "WER", ""), rows)
    is_open = "open" if len(rows) <= 12 else ""
    heading = f"<h2>{escape(title)}</h2><details {is_open}><summary>{len(rows)} groups</summary>"
    return f"{heading}<div class='groups'>{table}</div></details>"


def _utterance(item: Scored) -> Sequence[str]:
    where = f"<div class='where'>{escape(item.utterance.id)} &middot; {item.duration_s:.1f} s</div>"
    counts = item.words.counts
    return f"{counts.num_errors} / {counts.num_reference}", _aligned(item.words.tokens) + where


def _aligned(tokens: Iterable[AlignedToken]) -> str:
    words = []
    for token in tokens:
        if token.edit == "correct":
            words.append(escape(token.reference or ""))
            continue
        if token.reference is not None:
            words.append(f"<del>{escape(token.reference)}</del>")
        if token.hypothesis is not None:
            words.append(f"<ins>{escape(token.hypothesis)}</ins>")
    return " ".join(words)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are HTML already."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
