"""Draws the statistics of a corpus: durations, paces, speakers, characters, levels, noise."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ds2.corpora.checks.corpus import Item
from ds2.corpora.statistics.stats import (
    Part,
    hours_of_speakers,
    num_characters,
    per_second,
    sounds_of,
)
from ds2.evaluation.figure import choose_fonts, drawable, import_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_GROUPS = 6
"""Most groups in the plots, the largest ones. Each has its own colour."""

MOST_BINS = 40

INK, DARK_INK = "#262626", "#d9d9d9"
"""Text and axes on light and on dark pages."""

Values: TypeAlias = Callable[[Sequence[Item]], list[float]]


def _durations(items: Sequence[Item]) -> list[float]:
    return [item.duration_s for item in items if item.duration_s is not None]


def _paces(items: Sequence[Item]) -> list[float]:
    return per_second(items, num_characters)


def _levels(items: Sequence[Item]) -> list[float]:
    return [s.level_db for s in sounds_of(items) if s.level_db is not None]


def _ratios(items: Sequence[Item]) -> list[float]:
    return [s.snr_db for s in sounds_of(items) if s.snr_db is not None]


def _bandwidths(items: Sequence[Item]) -> list[float]:
    return [s.bandwidth_hz / 1000 for s in sounds_of(items)]


def _lengths(items: Sequence[Item]) -> list[float]:
    return [float(num_characters(item)) for item in items if item.text]


def _speaker_hours(items: Sequence[Item]) -> list[float]:
    return list(hours_of_speakers(items).values())


def _uses(items: Sequence[Item]) -> list[float]:
    counts = Counter(character for item in items for character in item.text)
    return [float(count) for _, count in counts.most_common()]


HISTOGRAMS: tuple[tuple[str, str, Values], ...] = (
    ("durations", "seconds", _durations),
    ("pace", "characters a second", _paces),
    ("length of texts", "characters", _lengths),
    ("level", "dBFS", _levels),
    ("speech over noise, estimated", "dB", _ratios),
    ("upper end of the spectrum", "kHz", _bandwidths),
)
"""Title, unit and values of each histogram."""

RANKS: tuple[tuple[str, str, Values], ...] = (
    ("hours of speakers", "hours", _speaker_hours),
    ("uses of characters", "times", _uses),
)


def draw_stats(parts: Sequence[Part]) -> "Figure":
    """Draw the parts, at most the first six, in the same plots without a background."""
    figure_class = import_figure()
    from matplotlib import rc_context

    names = ("text.color", "xtick.color", "ytick.color", "axes.edgecolor", "axes.labelcolor")
    style: Any = {**dict.fromkeys((*names, "axes.titlecolor"), INK), "font.size": 9}
    with rc_context(style):
        figure = figure_class(figsize=(12, 8.5), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots(3, 3).ravel()
        shown = parts[:MAX_GROUPS]
        for place, (title, unit, values) in zip(axes[:6], HISTOGRAMS, strict=True):
            _draw_histogram(place, title, unit, [values(part.items) for part in shown])
        for place, (title, unit, values) in zip(axes[6:8], RANKS, strict=True):
            _draw_ranks(place, title, unit, [values(part.items) for part in shown])
        _draw_names(axes[8], shown, len(parts))
        for place in axes:
            place.patch.set_alpha(0)
            place.spines[["top", "right"]].set_visible(False)
    return figure


def svgs_of(figure: "Figure") -> tuple[str, str]:
    """The figure as SVG for light and for dark pages. The same figure gives the same text."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "ds2"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    light = file.getvalue()
    return light, light.replace(INK, DARK_INK)


def _draw_histogram(axes: "Axes", title: str, unit: str, series: list[list[float]]) -> None:
    """Draw shares of the clips. The plot leaves out one clip in 500 at each end."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(unit)
    pooled = [value for values in series for value in values]
    if not pooled:
        _say_nothing_known(axes)
        return
    low, high = np.quantile(pooled, [0.002, 0.998])
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    num_bins = int(np.clip(2 * np.sqrt(len(pooled)), 8, MOST_BINS))
    edges = np.linspace(low, high, num_bins + 1)
    for index, values in enumerate(series):
        if not values:
            continue
        shares = np.histogram(values, edges)[0] * 100 / len(values)
        axes.stairs(shares, edges, fill=len(series) == 1, color=f"C{index}", linewidth=1.3)
    axes.set_ylabel("% of clips")


def _draw_ranks(axes: "Axes", title: str, unit: str, series: list[list[float]]) -> None:
    """Draw values from the largest down, on logarithmic axes."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("rank")
    if not any(max(values, default=0) > 0 for values in series):
        _say_nothing_known(axes)
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel(unit)
    for index, values in enumerate(series):
        positive = [value for value in values if value > 0]
        ranks = np.arange(1, len(positive) + 1)
        axes.plot(ranks, positive, ".-", color=f"C{index}", markersize=4, linewidth=1)


def _draw_names(axes: "Axes", shown: Sequence[Part], num_parts: int) -> None:
    """Draw the names of the parts beside their colours."""
    axes.set_axis_off()
    missing = choose_fonts("".join(part.name for part in shown))
    for index, part in enumerate(shown):
        name = "".join(drawable(character, missing, space=" ") for character in part.name)
        name = name if len(name) <= 36 else f"...{name[-33:]}"
        axes.text(0.06, 0.9 - 0.13 * index, name.replace("$", r"\$"), va="center")
        axes.plot([0, 0.04], [0.9 - 0.13 * index] * 2, color=f"C{index}", linewidth=3)
    if num_parts > len(shown):
        axes.text(0, 0.9 - 0.13 * len(shown), f"and {num_parts - len(shown)} more, not drawn")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _say_nothing_known(axes: "Axes") -> None:
    axes.text(0.5, 0.5, "nothing known", ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
