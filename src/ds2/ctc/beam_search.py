"""Prefix beam search with a language model, hot phrases, times and confidences (section 3.8)."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.confidence import calibrated
from ds2.ctc.fitting import fitted
from ds2.ctc.hypothesis import Glance, Hypothesis, Scores, Token
from ds2.ctc.phrases import Phrase, hot_phrases, spelt_phrases
from ds2.ctc.search.frames import take_frames
from ds2.ctc.search.prefixes import ROOT, Limits, new_memory, with_room
from ds2.ctc.search.priors import divide_by_priors
from ds2.ctc.search.reading import CUT, OPEN, SPAN, WHOLE, agree, judge, read_back
from ds2.ctc.search.tables import Scoring, known_words, scoring_of
from ds2.ctc.search.vocabulary import Vocabulary
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.ngram.model import NgramModel
from ds2.text.alphabet import Alphabet

ROUNDING = 1e-6
"""More than what two ways to add up a score differ by."""


class BeamSearch:
    """The parts that all searches of a model share: alphabet, language model, phrases, settings.

    A hypothesis is ranked by log p_ctc + alpha log p_lm + beta words + hot phrases (equation 12
    of the paper), where p_ctc adds up all alignments. With a language model, the labels' priors are
    divided out of p_ctc, as far as `BeamSettings.prior_weight` asks. Several threads may use it at
    once.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        settings: BeamSettings | None = None,
        lm: NgramModel | None = None,
        phrases: Sequence[Phrase] = (),
        *,
        known: Vocabulary | None = None,
    ) -> None:
        """lm: of words for English, of characters for Mandarin; None: no language model.
        known: the words of the language model, from another search with the same model.

        Raises InputError if the language model or the priors do not fit, or a phrase cannot be
        spelt.
        """
        self.alphabet = alphabet
        self.settings = settings or BeamSettings()
        self.phrases = hot_phrases(phrases)
        if lm is not None:
            lm.require(alphabet.word_unit, alphabet.language)
            lm = lm if known else fitted(lm, alphabet)
        self.lm = lm
        self._known = known or known_words(alphabet, lm)
        weights = spelt_phrases(self.phrases, alphabet)
        self._scoring = scoring_of(alphabet, self.settings, lm, weights, self._known)
        self._prior_costs = _prior_costs(self.settings, alphabet) if lm is not None else None
        self._limits = Limits(
            self.settings.beam_width,
            float(self.settings.beam_threshold),
            float(self.settings.label_mass),
            self.settings.max_labels,
            keeps_all=False,
        )

    def with_phrases(self, phrases: Sequence[Phrase]) -> "BeamSearch":
        """The same search with more phrases, for example for one stream. It is quick to make.

        Raises InputError if a phrase cannot be spelt.
        """
        together = (*self.phrases, *hot_phrases(phrases))
        return BeamSearch(self.alphabet, self.settings, self.lm, together, known=self._known)

    def decoder(self, *, num_hypotheses: int = 1) -> "PrefixBeamSearch":
        """A new search, for one stream of log_probs.

        num_hypotheses: how many you will ask for. If it is 1, the search drops hypotheses that can
        never become the best. That is faster, and leaves fewer to ask for.
        """
        limits = replace(self._limits, keeps_all=num_hypotheses > 1)
        return PrefixBeamSearch(
            self.alphabet, self.settings, self._scoring, limits, self._prior_costs
        )

    def decode_batch(
        self,
        batch: Sequence[NDArray[np.float32]],
        *,
        n: int = 1,
        num_threads: int | None = None,
    ) -> list[list[Hypothesis]]:
        """The n best hypotheses of each utterance, (T, V) log_probs, in their order.

        num_threads: processor cores; None: all of them.
        """
        if num_threads == 1:
            return [self._decoded(log_probs, n) for log_probs in batch]
        with ThreadPoolExecutor(num_threads or os.cpu_count()) as pool:
            return list(pool.map(self._decoded, batch, [n] * len(batch)))

    def _decoded(self, log_probs: NDArray[np.float32], n: int) -> list[Hypothesis]:
        decoder = self.decoder(num_hypotheses=n)
        decoder.feed(log_probs)
        return decoder.best(n)


def _prior_costs(settings: BeamSettings, alphabet: Alphabet) -> NDArray[np.float32] | None:
    """(V,) what the search takes from the log_probs of each label; None for nothing."""
    if settings.prior_weight == 0:
        return None
    if len(settings.label_priors) != len(alphabet):
        raise InputError(
            f"label_priors: {len(settings.label_priors):,} numbers for {len(alphabet):,} labels: "
            "tune again with `ds2 lm tune`"
        )
    return np.array(settings.prior_weight * np.array(settings.label_priors), np.float32)


class PrefixBeamSearch:
    """One search over one stream of log_probs. `BeamSearch.decoder` makes it.

    The pieces in which the log_probs come, and calls of `best`, change nothing in the hypotheses.
    Memory grows with the text, not with the frames.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        settings: BeamSettings,
        scoring: Scoring,
        limits: Limits,
        prior_costs: NDArray[np.float32] | None = None,
    ) -> None:
        self._alphabet = alphabet
        self._settings = settings
        self._scoring = scoring
        self._limits = limits
        self._prior_costs = prior_costs
        self._memory = new_memory(scoring, limits)
        self._is_closed = scoring.has_lm and settings.unknown_word_score is None

    def feed(self, log_probs: NDArray[np.float32]) -> None:
        """Take (T, V) more frames. Raises ValueError for arrays that are no log_probs."""
        if log_probs.ndim != 2 or log_probs.shape[1] != len(self._alphabet):
            raise ValueError(
                f"log_probs are (T, {len(self._alphabet)}), not of shape {log_probs.shape}"
            )
        flags = log_probs.flags
        if log_probs.dtype != np.float32 or not flags.c_contiguous or not flags.writeable:
            log_probs = np.require(log_probs, np.float32, ["C", "W"])  # one type, compiled once
        if not log_probs.max(initial=0) < np.inf:
            raise ValueError("log_probs hold NaN or infinity")
        if self._prior_costs is not None:
            divided = np.empty_like(log_probs)
            divide_by_priors(log_probs, self._prior_costs, divided)
            log_probs = divided
        num_taken = 0
        while num_taken < len(log_probs):
            num_taken = take_frames(self._scoring, self._limits, self._memory, log_probs, num_taken)
            if num_taken < len(log_probs):
                self._memory = with_room(self._memory)

    def warm_up(self) -> None:
        """Load the machine code that a search needs later, before anybody waits for it."""
        self._memory = with_room(self._memory)

    def best(self, n: int = 1, *, is_final: bool = True) -> list[Hypothesis]:
        """The n best hypotheses of the frames so far, or as many as there are, the best first.

        Hypotheses that spell the same words are one, with the sum of their probabilities. is_final:
        judge them as if the audio ended here; else the last word may go on. If the vocabulary is
        closed and no hypothesis ends with a whole word, the last word is left out.
        """
        judged = self._judged(is_final)
        last_judged, shared = agree(self._memory, judged.totals.copy())
        num_stable = self._depth(shared, self._is_closed)
        hypotheses = []
        for scores, slot in _ranked(judged, n):
            tokens = self._tokens(slot, last_judged, is_cut=judged.is_cut)
            hypotheses.append(Hypothesis(tokens, scores, min(num_stable, len(tokens))))
        return hypotheses

    def glance(self) -> Glance:
        """The best hypothesis of the frames so far, as `best` gives it if `is_final` is false."""
        judged = self._judged(is_final=False)
        last_judged, shared = agree(self._memory, judged.totals.copy())
        ((_, slot),) = _ranked(judged, 1)
        spans = self._spans(slot, last_judged)
        num_stable = min(self._depth(shared, self._is_closed), len(spans))
        labels, starts, ends = (spans[name].tolist() for name in ("label", "start", "end"))
        return Glance(labels, starts, ends, num_stable)

    def _judged(self, is_final: bool) -> "_Judged":
        """The entries of the beam and what each is worth."""
        num_entries = int(self._memory.counts["num_entries"])
        parts, hashes = np.empty((num_entries, 4)), np.empty(num_entries, np.int64)
        ending = WHOLE if is_final else OPEN
        judge(self._scoring, self._memory, ending, parts, hashes)
        if is_final and (parts[:, 0] == -np.inf).all():
            ending = CUT
            judge(self._scoring, self._memory, ending, parts, hashes)
        return _Judged(parts, hashes, parts.sum(axis=1), ending == CUT)

    def _spans(self, slot: int, last_judged: int) -> NDArray[np.void]:
        """(labels,) of SPAN: what an entry of the beam says, and when. After `agree`."""
        memory = self._memory
        index = int(memory.beam[memory.counts["num_frames"] & 1][slot]["prefix"])
        spans = np.empty(self._depth(index), SPAN)
        read_back(memory, slot, last_judged, spans)
        return spans

    def _tokens(self, slot: int, last_judged: int, *, is_cut: bool) -> tuple[Token, ...]:
        """The labels of an entry of the beam, with their times."""
        spans = self._spans(slot, last_judged)
        if is_cut:
            memory = self._memory
            index = int(memory.beam[memory.counts["num_frames"] & 1][slot]["prefix"])
            spans = spans[: self._depth(index, is_cut)]
        slope, offset = self._settings.confidence_slope, self._settings.confidence_offset
        return tuple(
            Token(label, start, end, peak, calibrated(posterior, slope, offset))
            for label, start, end, peak, posterior in spans.tolist()
        )

    def _depth(self, index: int, is_cut: bool = False) -> int:
        """The number of labels of a prefix. is_cut: without those of a word under way."""
        prefix = self._memory.prefixes[index]
        if is_cut and prefix["in_word"]:
            prefix = self._memory.prefixes[max(ROOT, prefix["last_word"])]
        return int(prefix["depth"])


@dataclass(frozen=True, slots=True)
class _Judged:
    """The entries of a beam, and what each is worth."""

    parts: NDArray[np.float64]  # (entries, 4): acoustic, language model, count, hot phrases
    hashes: NDArray[np.int64]  # (entries,): entries that spell the same words have the same
    totals: NDArray[np.float64]  # (entries,): the sums of the parts
    is_cut: bool  # the word under way does not count


def _ranked(judged: _Judged, n: int) -> list[tuple[Scores, int]]:
    """The n best texts, or as many as there are: the score of each, and its best entry.

    A text's probability is the sum of those of its entries. A text is left out if it could not be
    among the best though all of its entries were as good as its best.
    """
    totals, hashes = judged.totals.tolist(), judged.hashes.tolist()
    most_gain = math.log(len(totals)) + ROUNDING
    groups: dict[int, list[int]] = {}  # entries by text, the best first
    wanted = lowest = -math.inf  # the n-th best entry of other texts; what cannot get there
    for slot in np.argsort(-judged.totals, kind="stable").tolist():
        total, text = totals[slot], hashes[slot]
        if total == -math.inf:
            break  # it and those after it cannot end so
        if text in groups:
            groups[text].append(slot)
        elif total > lowest:
            groups[text] = [slot]
            if len(groups) == n:
                wanted, lowest = total, total - most_gain
    parts = judged.parts.tolist()
    scored = []
    for slots in groups.values():
        acoustic, lm, count, hot = parts[slots[0]]
        if len(slots) > 1 and totals[slots[0]] + math.log(len(slots)) > wanted - ROUNDING:
            acoustic += math.log(sum(math.exp(totals[slot] - totals[slots[0]]) for slot in slots))
        elif totals[slots[0]] < wanted - ROUNDING:
            continue
        scored.append((Scores(acoustic, lm, count, hot), slots[0]))
    scored.sort(key=lambda pair: -pair[0].total)
    return scored[:n]
