"""A picture of the tuning: error rates over alpha and beta, beams, confidences."""

from typing import TYPE_CHECKING

import numpy as np

from ds2.evaluation.figure import choose_fonts, import_figure
from ds2.tuning.calibration import Judgement
from ds2.tuning.dev_set import DevSet
from ds2.tuning.tune import Tuned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_tuning(dev: DevSet, tuned: Tuned, title: str) -> "Figure":
    """Draw the results of tuning; `write_figure` writes the figure."""
    figure = import_figure()(figsize=(15, 5), layout="constrained")
    choose_fonts(title)
    surface, beams, confidence = figure.subplots(1, 3)
    name = "WER" if dev.alphabet.word_unit == "word" else "CER"
    _draw_surface(figure, surface, tuned, name)
    _draw_beams(beams, dev, tuned, name)
    _draw_confidence(confidence, tuned)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _draw_surface(figure: "Figure", axes: "Axes", tuned: Tuned, name: str) -> None:
    found = tuned.search
    surface, best = found.surface, found.best.settings
    rates = 100 * surface.rates.T
    # The lowest rates matter most; far away there are rates of several hundred per cent.
    levels = rates.min() + (np.percentile(rates, 90) - rates.min()) * np.linspace(0, 1, 25) ** 2
    levels = np.unique(np.append(levels, levels[-1] + 1e-6))
    filled = axes.contourf(
        surface.alphas, surface.betas, rates, levels=levels, cmap="viridis_r", extend="max"
    )
    figure.colorbar(filled, ax=axes, label=f"{name} (%)", format="%.1f")
    for trial in found.trials:
        same = trial.settings.unknown_word_score == best.unknown_word_score
        point = (trial.settings.lm_weight, trial.settings.word_bonus)
        axes.plot(*point, "o" if same else "x", color="0.3", markersize=5)
    axes.plot(best.lm_weight, best.word_bonus, "*", color="C3", markersize=14)
    axes.set_xlim(surface.alphas[0], surface.alphas[-1])
    axes.set_ylim(surface.betas[0], surface.betas[-1])
    axes.set_xlabel("alpha: weight of the language model")
    axes.set_ylabel("beta: bonus of a word")
    price = best.unknown_word_score
    words = "none allowed" if price is None else f"{price:g} each"
    axes.set_title(f"unknown words: {words}; o: decoded, x: decoded at another price", fontsize=9)


def _draw_beams(axes: "Axes", dev: DevSet, tuned: Tuned, name: str) -> None:
    for tried in tuned.widths:
        rate = tried.trial.rate
        speed = dev.duration_s / max(tried.trial.elapsed_s, 1e-9)
        low, high = 100 * (rate.rate - rate.low), 100 * (rate.high - rate.rate)
        color = "C3" if tried is tuned.chosen else "C0"
        axes.errorbar(speed, 100 * rate.rate, yerr=[[low], [high]], fmt="o", color=color)
        axes.annotate(f" {tried.width}", (speed, 100 * rate.rate), fontsize=9)
    axes.axhline(100 * tuned.greedy.rate, color="0.5", linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("times real time, only decoding")
    axes.set_ylabel(f"{name} (%), 95% intervals")
    axes.set_title("beam widths; dotted: greedy", fontsize=9)


def _draw_confidence(axes: "Axes", tuned: Tuned) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    _draw_bins(axes, tuned.calibration.before, "C1", "before")
    _draw_bins(axes, tuned.calibration.after, "C2", "calibrated on other utterances")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share of words that are right")
    axes.legend(fontsize=8, title="expected calibration error", title_fontsize=8)


def _draw_bins(axes: "Axes", judgement: Judgement, color: str, name: str) -> None:
    confidences = [item.confidence for item in judgement.bins]
    right = [item.share_right for item in judgement.bins]
    axes.plot(confidences, right, "o-", color=color, label=f"{judgement.error:.3f} {name}")
