"""Tuning on artificial utterances with a known answer, for which a language model helps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aids.grams import FALLBACK, GENESIS, POEM, build
from aids.models import write_random_bundle
from ds2.audio import read_audio, write_wav
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.evaluation.metrics import EditCounts
from ds2.manifest import Utterance
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.model import NgramModel
from ds2.recognition.recognizer import Recognizer
from ds2.text.alphabet import Alphabet, english_characters, mandarin_characters
from ds2.tuning.candidates import FORBIDDEN, Pool
from ds2.tuning.dev_set import DevSet, LogProbs, Outputs, Trial, hear, references_of
from ds2.tuning.search import Grid, search, search_with_priors
from ds2.tuning.tune import tune
from ds2.tuning.widths import WidthTrial, narrowest, try_widths

ALPHABET = english_characters()
FIRST = BeamSettings(beam_width=50)
TEXTS = [
    " ".join(line.split()[start : start + 5])
    for line in GENESIS.splitlines()
    for start in range(0, len(line.split()) - 4, 5)
]


def silent(_stage: str, _fraction: float | None) -> None:
    pass


def noisy(text: str, random: np.random.Generator, alphabet: Alphabet = ALPHABET) -> LogProbs:
    """log_probs (T, V) of unclear speech: two frames for each letter, six of ten letters wrong."""
    labels = alphabet.encode(text)
    probs = random.dirichlet(np.full(len(alphabet), 0.3), 2 * len(labels))
    for place, label in enumerate(labels):
        letter = random.integers(1, len(alphabet)) if random.random() < 0.6 else label
        probs[2 * place] *= 0.57
        probs[2 * place, letter] += 0.4
        probs[2 * place, label] += 0.03
        probs[2 * place + 1] = 0.01 / len(alphabet)
        probs[2 * place + 1, 0] += 0.99
    return np.log(probs / probs.sum(axis=1, keepdims=True) + 1e-9).astype(np.float32)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> NgramModel:
    """A model of every second line of the text, so that half of the speech is new to it."""
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    text = "".join(GENESIS.splitlines(keepends=True)[::2])
    return build(tmp_path_factory.mktemp("lm"), text, config, language="en")


@pytest.fixture(scope="module")
def dev() -> Iterator[DevSet]:
    random = np.random.default_rng(0)
    with Outputs(len(ALPHABET)) as outputs:
        for text in TEXTS:
            outputs.append(noisy(text, random))
        references = tuple(tuple(text.split()) for text in TEXTS)
        yield DevSet(ALPHABET, outputs, references, 60.0)


def errors_at(dev: DevSet, lm: NgramModel, alpha: float, beta: float, price: float | None) -> int:
    point = replace(FIRST, lm_weight=alpha, word_bonus=beta, unknown_word_score=price)
    decoded = dev.decode(BeamSearch(ALPHABET, point, lm), report=silent)
    return sum(count.num_errors for count in dev.counted(best[0] for best in decoded))


@pytest.mark.slow
def test_tuning_is_no_worse_than_a_grid_and_finds_that_the_model_helps(
    dev: DevSet, lm: NgramModel
) -> None:
    found = search(dev, lm, FIRST, num_trials=12, num_threads=1, report=silent)
    grid = {
        (alpha, beta, price): errors_at(dev, lm, alpha, beta, price)
        for alpha in (0.0, 0.4, 0.8, 1.6)
        for beta in (-1.0, 1.0, 3.0)
        for price in (None, -10.0)
    }
    best = found.best.settings
    errors = errors_at(dev, lm, best.lm_weight, best.word_bonus, best.unknown_word_score)
    assert errors <= min(grid.values())
    assert found.best.settings.lm_weight > 0.4
    without_lm = min(errors for (alpha, *_), errors in grid.items() if alpha == 0)
    assert found.best.num_errors < 0.8 * without_lm
    assert found.best.rate.rate < dev.greedy().rate
    assert len(found.trials) < 12  # the search has ended
    assert found.chosen_rate <= found.held_out_rate + 0.05
    assert found.surface.rates.shape == (len(found.surface.alphas), len(found.surface.betas))
    again = search(dev, lm, FIRST, num_trials=12, num_threads=2, report=silent)
    assert [trial.settings for trial in again.trials] == [trial.settings for trial in found.trials]
    assert [trial.counts for trial in again.trials] == [trial.counts for trial in found.trials]


@pytest.fixture(scope="module")
def shy(dev: DevSet) -> Iterator[DevSet]:
    """The same speech, heard by a network that says little: blanks are far too likely."""
    with Outputs(len(ALPHABET)) as outputs:
        for index in range(len(dev.outputs)):
            log_probs = dev.outputs.read(index).copy()
            log_probs[:, 0] += 4
            outputs.append(log_probs - np.logaddexp.reduce(log_probs, axis=1, keepdims=True))
        yield DevSet(ALPHABET, outputs, dev.references, 60.0)


def test_priors_are_the_mean_probabilities_of_labels(dev: DevSet, shy: DevSet) -> None:
    frames = np.concatenate([dev.outputs.read(index) for index in range(len(dev.outputs))])
    means = np.exp(frames).mean(axis=0)
    np.testing.assert_allclose(np.exp(dev.label_priors), 0.99 * means + 0.01 / 29, rtol=0.006)
    assert dev.label_priors[0] < shy.label_priors[0] <= 0


@pytest.mark.slow
def test_priors_help_where_a_network_says_too_little(shy: DevSet, lm: NgramModel) -> None:
    options: dict[str, Any] = {"num_trials": 4, "num_threads": 1, "report": silent}
    best, *others = search_with_priors(shy, lm, FIRST, **options)
    weights = [found.best.settings.prior_weight for found in (best, *others)]
    errors = [found.best.num_errors for found in (best, *others)]
    assert errors == sorted(errors)
    assert {0.0, 0.2, 0.4, 0.6} < set(weights)
    assert len(set(weights)) == len(weights) == 6
    plain = next(found for found in others if found.best.settings.prior_weight == 0)
    assert weights[0] > 0
    assert best.best.num_errors < 0.9 * plain.best.num_errors
    for found in (best, *others):
        for trial in found.trials:
            assert trial.settings.prior_weight == found.best.settings.prior_weight
            assert trial.settings.label_priors == shy.label_priors


def test_settings_without_a_weight_have_no_priors(
    dev: DevSet, lm: NgramModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds2.tuning.search.PRIOR_WEIGHTS", (0.0,))
    monkeypatch.setattr("ds2.tuning.search.BETWEEN", 0.0)
    tuned = tune(dev, lm, FIRST, num_trials=1, widths=(1,), report=silent)
    assert (tuned.settings.prior_weight, tuned.settings.label_priors) == (0.0, ())
    assert tuned.others == ()


@pytest.mark.parametrize("price", [-4.0, None])
def test_weighing_the_texts_of_a_decoding_gives_its_errors(
    dev: DevSet, lm: NgramModel, price: float | None
) -> None:
    point = replace(FIRST, lm_weight=0.7, word_bonus=0.5, unknown_word_score=price)
    pool = Pool(dev, lm)
    best = pool.add(dev.decode(BeamSearch(ALPHABET, point, lm), n=50, report=silent))
    weights = np.array([[1.0, 0.7, 0.5, FORBIDDEN if price is None else price]])
    expected = [count.num_errors for count in dev.counted(best)]
    assert pool.errors(weights)[:, 0].tolist() == expected


def test_texts_that_come_again_are_not_kept_twice(dev: DevSet, lm: NgramModel) -> None:
    pool = Pool(dev, lm)
    beams = BeamSearch(ALPHABET, FIRST, lm)
    pool.add(dev.decode(beams, n=50, report=silent))
    size = len(pool)
    pool.add(dev.decode(beams, n=50, report=silent))
    assert len(pool) == size


def test_mandarin_is_tuned_by_its_characters(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = POEM.split()
    alphabet = mandarin_characters([POEM, "天地人你我他上下左右大小多少"])
    config = EstimateConfig(2, discount_fallback=FALLBACK)
    lm = build(tmp_path, POEM, config, unit="character", language="zh")
    with Outputs(len(alphabet)) as outputs:
        for line in 4 * lines:
            outputs.append(noisy(line, random, alphabet))
        dev = DevSet(alphabet, outputs, tuple(map(tuple, 4 * lines)), 20.0)
        tuned = tune(dev, lm, FIRST, num_trials=4, widths=(4, 50), report=silent)
    assert dev.num_words == 4 * sum(map(len, lines))
    assert tuned.chosen.trial.rate.rate < tuned.greedy.rate
    assert tuned.settings.lm_weight > 0


def test_a_lone_dent_is_not_the_best_setting() -> None:
    grid = Grid(np.arange(9.0), np.arange(9.0), (None,))
    errors = 100 + 3 * np.add.outer(np.abs(np.arange(9) - 6), np.abs(np.arange(9) - 2))
    errors[1, 7] = 95
    index, point = grid.lowest(errors.ravel())
    assert point == (6, 2, None)
    assert index == 6 * 9 + 2
    assert grid.weights[index].tolist() == [1, 6, 2, FORBIDDEN]


def width_trial(width: int, errors: list[int]) -> WidthTrial:
    counts = tuple(EditCounts(10 - count, count) for count in errors)
    return WidthTrial(Trial(BeamSettings(beam_width=width), counts, 1.0), (), ())


def test_the_narrowest_beam_within_a_standard_error_is_chosen() -> None:
    widest = width_trial(100, [3, 2, 4, 1, 3, 2])
    same = width_trial(20, [3, 2, 4, 1, 3, 2])
    chance = width_trial(5, [4, 1, 4, 1, 4, 2])  # one more in all, sometimes fewer
    worse = width_trial(1, [4, 3, 5, 2, 4, 3])  # one more everywhere
    assert narrowest([worse, chance, same, widest]) is chance
    assert narrowest([widest, worse, same]) is same
    assert narrowest([worse, widest]) is widest


def test_words_are_judged_as_the_reference_has_them(dev: DevSet, lm: NgramModel) -> None:
    (tried,) = try_widths(dev, lm, FIRST, widths=[20], num_threads=1, report=silent)
    for posteriors, is_right, count in zip(
        tried.posteriors, tried.is_right, tried.trial.counts, strict=True
    ):
        assert len(posteriors) == len(is_right)
        assert sum(is_right) == count.num_correct
        assert len(is_right) == count.num_correct + count.num_substitutions + count.num_insertions


@pytest.mark.slow
def test_the_tuned_settings_are_those_of_the_parts(dev: DevSet, lm: NgramModel) -> None:
    stages = []
    tuned = tune(
        dev,
        lm,
        replace(FIRST, confidence_slope=3.0),
        num_trials=4,
        widths=(1, 10, 50),
        report=lambda stage, _: stages.append(stage),
    )
    best, made = tuned.search.best.settings, tuned.settings
    assert (made.lm_weight, made.word_bonus) == (best.lm_weight, best.word_bonus)
    assert made.unknown_word_score == best.unknown_word_score
    assert made.beam_width == tuned.chosen.width in (1, 10, 50)
    assert made.confidence_slope == pytest.approx(tuned.calibration.platt.slope, abs=1e-4)
    assert tuned.calibration.after.error < tuned.calibration.before.error
    assert stages[0] == "decoding greedily"
    assert stages[-1] == "calibrating"


def test_outputs_are_kept_as_they_are() -> None:
    random = np.random.default_rng(0)
    pieces = [random.random((length, 5)).astype(np.float32) for length in (3, 0, 7)]
    with Outputs(5) as outputs:
        for piece in pieces:
            outputs.append(piece)
        assert (len(outputs), outputs.num_frames) == (3, 10)
        for index in (2, 0, 1):
            np.testing.assert_array_equal(outputs.read(index), pieces[index])


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(write_random_bundle(tmp_path_factory.mktemp("model")))


def recorded(directory: Path) -> list[Utterance]:
    random = np.random.default_rng(0)
    utterances = []
    for line, length in enumerate((9_000, 16_000, 12_000), 1):
        path = directory / f"{line}.wav"
        write_wav(path, 0.1 * random.standard_normal(length).astype(np.float32))
        utterances.append(Utterance(path, text="God said: 2!", source_file=path, line=line))
    return utterances


def test_recordings_are_heard_once_by_any_number_of_threads(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    utterances = recorded(tmp_path)
    references = references_of(utterances, recognizer.bundle.alphabet)
    assert references == (("god", "said", "two"),) * 3
    with Outputs(len(ALPHABET)) as one, Outputs(len(ALPHABET)) as other:
        for num_threads, outputs in enumerate((one, other), 1):
            dev = hear(
                *(recognizer, utterances, references, outputs),
                num_threads=num_threads,
                report=silent,
            )
            assert dev.duration_s == pytest.approx(37_000 / 16_000)
        for index, utterance in enumerate(utterances):
            np.testing.assert_array_equal(one.read(index), other.read(index))
            expected = recognizer.log_probs(read_audio(utterance.audio_path))
            np.testing.assert_array_equal(one.read(index), expected)


def test_a_recording_that_cannot_be_read_is_named(recognizer: Recognizer, tmp_path: Path) -> None:
    utterances = recorded(tmp_path)
    references = references_of(utterances, recognizer.bundle.alphabet)
    utterances[1].audio_path.write_bytes(b"")
    with Outputs(len(ALPHABET)) as outputs, pytest.raises(InputError, match=r"2.wav:2: .* empty"):
        hear(recognizer, utterances, references, outputs, report=silent)
