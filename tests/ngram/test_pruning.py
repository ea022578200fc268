"""Pruning: costs by their definition, sums of one, exact sizes."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from aids.grams import FALLBACK, GENESIS, build, grams_in
from ds2.ngram.columns import Workspace
from ds2.ngram.corpus import BEGIN, END
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.model import NgramModel
from ds2.ngram.pruning import EntropyPruner
from ds2.ngram.writing import file_size, save_model

LOG_10 = math.log(10)


@pytest.fixture(scope="module", params=[2, 3, 5])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NgramModel:
    config = EstimateConfig(request.param, discount_fallback=FALLBACK)
    return build(tmp_path_factory.mktemp("lm"), GENESIS, config)


def smaller(model: NgramModel, threshold: float) -> NgramModel:
    """The pruned model, in memory."""
    levels = EntropyPruner(model.levels()).pruned(threshold)
    return NgramModel.from_levels(levels, model.vocabulary, model.facts, "pruned")


def distributions(model: NgramModel) -> np.ndarray:
    """The probabilities of all words after each single word, and after none: (V + 1, V)."""
    rows = []
    for first in [None, *range(model.counts[0])]:
        state = 0 if first is None else model.score(first, 0)[1]
        rows.append([model.score(word, state)[0] for word in range(model.counts[0])])
    probs = np.exp(rows)
    probs[:, BEGIN] = 0
    return probs


def test_a_threshold_below_all_costs_changes_nothing(model: NgramModel) -> None:
    before, after = grams_in(model), grams_in(smaller(model, -1.0))
    assert before.keys() == after.keys()
    for gram, (log_prob, backoff) in before.items():
        assert after[gram] == pytest.approx((log_prob, backoff), abs=2e-5)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_pruned_models_keep_the_dearest_and_their_probabilities_sum_to_one(
    model: NgramModel, share: float
) -> None:
    costs = np.concatenate(EntropyPruner(model.levels()).costs[1:])
    pruned = smaller(model, float(np.quantile(costs, share)))
    assert pruned.counts[0] == model.counts[0]
    assert sum(pruned.counts[1:]) < sum(model.counts[1:])
    assert sum(pruned.counts[1:]) >= (1 - share) * len(costs) - 1
    assert grams_in(pruned).keys() < grams_in(model).keys()
    assert distributions(pruned).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_costs_are_the_growth_of_the_perplexity(tmp_path: Path) -> None:
    model = build(tmp_path, GENESIS, EstimateConfig(2, discount_fallback=FALLBACK))
    pruner = EntropyPruner(model.levels())
    words, *after = distributions(model)
    after = np.array(after)
    after[END] = after[BEGIN]  # a new sentence follows the end of one
    frequencies = np.full(len(after), 1 / len(after))
    for _ in range(500):
        frequencies = frequencies @ after
    level = model.levels()[1]
    pairs = list(zip(level.parents[:].tolist(), level.words[:].tolist(), strict=True))
    for (first, second), cost in list(zip(pairs, pruner.costs[1], strict=True))[::7]:
        rest = [b for a, b in pairs if a == first and b != second]
        own, without = after[first], with_backoff(after[first], rest, words)
        divergence = sum(p * math.log(p / q) for p, q in zip(own, without, strict=True) if p > 0)
        frequency = frequencies[END if first == BEGIN else first]
        assert cost == pytest.approx(math.expm1(frequency * divergence), rel=1e-3, abs=1e-9)


def with_backoff(own: np.ndarray, listed: list[int], words: np.ndarray) -> np.ndarray:
    """The distribution of a context that lists some words and backs off to `words` for others."""
    probs = words.copy()
    probs[listed] = 0
    probs *= (1 - own[listed].sum()) / probs.sum()
    probs[listed] = own[listed]
    return probs


@pytest.mark.parametrize("exact", [False, True])
def test_a_model_for_a_size_is_the_largest_that_fits(
    model: NgramModel, exact: bool, tmp_path: Path
) -> None:
    levels, vocabulary = model.levels(), model.vocabulary
    size_of = partial(file_size, vocabulary=vocabulary, level=levels[0], exact=exact)
    least, most = size_of([model.counts[0], *[0] * (model.order - 1)]), size_of(model.counts)
    pruner = EntropyPruner(levels)
    budget = (least + most) // 2
    threshold = pruner.threshold_for(budget, size_of)
    assert threshold is not None

    def saved_size(threshold: float) -> int:
        path = tmp_path / "lm.bin"
        pruned = pruner.pruned(threshold)
        save_model(path, pruned, vocabulary, model.facts, Workspace(), exact=exact)
        return path.stat().st_size

    size = saved_size(threshold)
    assert size <= budget
    costs = np.sort(np.concatenate(pruner.costs[1:]))
    sizes = {saved_size(float(cost)) for cost in costs[costs < threshold][-12:]}
    assert min(sizes - {size}) > budget
    assert pruner.threshold_for(most, size_of) == 0
    assert pruner.threshold_for(least - 1, size_of) is None
