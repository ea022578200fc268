"""The score of a prefix beside its acoustics, compiled: language model, words, hot phrases."""

import numpy as np

from ds2.compilation import inlined
from ds2.ctc.search.prefixes import NUM_LOOKUPS, Lookups, Prefix, Prefixes
from ds2.ctc.search.tables import FORBIDDEN, NO_LETTER, SPACE, Int, Scoring
from ds2.ctc.search.vocabulary import LAST_BIT, NO_CHILD, NO_WORD, child_of
from ds2.ctc.settings import UNKNOWN_LETTERS
from ds2.ngram.corpus import END, UNKNOWN
from ds2.ngram.score import LOG_10, advance


@inlined
def _looked_up(scoring: Scoring, lookups: Lookups, state: Int, word: Int) -> tuple[float, int]:
    """The result of `ds2.ngram.score.score_word`, from memory if it was asked for before."""
    place = (state * 1_000_003 + word * 7_919) & (NUM_LOOKUPS - 1)
    entry = lookups[place]
    if entry.state != state or entry.word != word:
        log10_prob, next_state, _ = advance(scoring.lm, state, word)
        entry.state = state
        entry.word = word
        entry.log_prob = log10_prob * LOG_10
        entry.next = next_state
    return entry.log_prob, entry.next


@inlined
def mixed(value: Int, letter: Int) -> Int:
    """A hash with one more letter in it."""
    value = (value ^ np.int64(letter + 1)) * 1_099_511_628_211
    return value ^ (value >> 29)


@inlined
def _unknown_price(scoring: Scoring, num_letters: Int) -> float:
    """The price of an unknown word beside its probability; FORBIDDEN in a closed vocabulary."""
    return scoring.unknown_word_score * max(1.0, num_letters / UNKNOWN_LETTERS)


@inlined
def _score_unit(
    scoring: Scoring, lookups: Lookups, prefix: Prefix, word: Int, num_letters: Int
) -> bool:
    """Count one more whole unit and score it. Returns False if it is forbidden."""
    prefix.num_words += 1
    if not scoring.has_lm:
        return True
    if word == NO_WORD:
        if scoring.unknown_word_score == FORBIDDEN:
            return False
        prefix.lm += _unknown_price(scoring, num_letters)
        word = UNKNOWN
    log_prob, prefix.lm_state = _looked_up(scoring, lookups, prefix.lm_state, word)
    prefix.lm += scoring.lm_weight * log_prob
    return True


@inlined
def _next_node(scoring: Scoring, node: int, letter: int) -> int:
    """The node a letter further, NO_WORD if no word goes on so."""
    num_known = len(scoring.known.letters)
    if node >= num_known:
        strange = scoring.strange
        child = child_of(strange.first_child, strange.letters, node - num_known, letter)
        if child != NO_CHILD:
            return num_known + child
        node = strange.known[node - num_known]
    if node == NO_WORD:
        return NO_WORD
    child = child_of(scoring.known.first_child, scoring.known.letters, node, letter)
    return child if child != NO_CHILD else NO_WORD


@inlined
def _word_at(scoring: Scoring, node: int) -> int:
    """The id of the word that ends at a node, or NO_WORD."""
    num_known = len(scoring.known.letters)
    if node >= num_known:
        return scoring.strange.words[node - num_known]
    return NO_WORD if node == NO_WORD else scoring.known.words[node]


@inlined
def _bound_at(scoring: Scoring, node: int) -> float:
    """The best log-probability of any word from a node on."""
    num_known = len(scoring.known.letters)
    if node >= num_known:
        return scoring.strange.bounds[node - num_known]
    return scoring.known.bounds[node]


@inlined
def _hear(scoring: Scoring, prefix: Prefix, letter: Int) -> None:
    """Move the state of the phrases on by a letter."""
    wanted = scoring.phrase_classes[letter]
    state = prefix.phrase
    prefix.phrase = 0
    while wanted != 0:
        child = child_of(scoring.phrase_children, scoring.phrase_letters, state, wanted)
        if child != NO_CHILD:
            prefix.phrase = child
            prefix.hot += scoring.phrase_rewards[child]
            break
        if state == 0:
            break
        state = scoring.phrase_shorter[state]


@inlined
def end_word(scoring: Scoring, lookups: Lookups, prefix: Prefix) -> bool:
    """End the word under way, if there is one. Returns False if its letters are no word."""
    if prefix.in_word == 0:
        return True
    word = _word_at(scoring, prefix.trie)
    num_letters = prefix.in_word
    prefix.in_word = 0
    prefix.trie = scoring.first_node
    prefix.bound = 0.0
    _hear(scoring, prefix, SPACE)
    return _score_unit(scoring, lookups, prefix, word, num_letters)


@inlined
def end_sentence(scoring: Scoring, lookups: Lookups, prefix: Prefix) -> bool:
    """End the last word and the sentence. Returns False if the last letters are no word."""
    if not end_word(scoring, lookups, prefix):
        return False
    if scoring.has_lm:
        log_prob, prefix.lm_state = _looked_up(scoring, lookups, prefix.lm_state, np.int64(END))
        prefix.lm += scoring.lm_weight * log_prob
    return True


@inlined
def _add_to_word(scoring: Scoring, prefix: Prefix, letter: int) -> bool:
    """Add a letter to a word that is scored at its end. Returns False if no word goes on so."""
    if prefix.in_word == 0:
        prefix.text_hash = mixed(prefix.text_hash, SPACE)
        prefix.word_hash = 0
    prefix.in_word += 1
    prefix.text_hash = mixed(prefix.text_hash, letter)
    prefix.word_hash = mixed(prefix.word_hash, letter)
    _hear(scoring, prefix, letter)
    if not scoring.has_lm:
        return True
    prefix.trie = _next_node(scoring, prefix.trie, letter)
    if prefix.trie == NO_WORD:
        price = _unknown_price(scoring, prefix.in_word)
        prefix.bound = scoring.lm_weight * scoring.unknown_log_prob + price
        return price > FORBIDDEN
    prefix.bound = scoring.lm_weight * _bound_at(scoring, prefix.trie)
    return True


@inlined
def prior_after_letter(scoring: Scoring, prefix: Prefix, letter: int) -> float:
    """The prior of a prefix after one more letter of a word; FORBIDDEN if no word goes on so.

    It is what `extend` gives, to the last bit, where there are no phrases. Most longer prefixes
    fail here, so nothing is written.
    """
    bound = prefix.bound
    if scoring.has_lm:
        known, node, child = scoring.known, prefix.trie, NO_CHILD
        if node != NO_WORD and (known.branches[node] >> min(letter, LAST_BIT)) & 1:
            child = child_of(known.first_child, known.letters, node, letter)
        if child == NO_CHILD:
            price = _unknown_price(scoring, prefix.in_word + 1)
            bound = scoring.lm_weight * scoring.unknown_log_prob + price
        else:
            bound = scoring.lm_weight * known.bounds[child]
    return (
        prefix.lm
        + bound
        + prefix.hot
        + scoring.phrase_loans[0]
        + scoring.word_bonus * (prefix.num_words + 1)
    )


@inlined
def _add_character(scoring: Scoring, lookups: Lookups, prefix: Prefix, letter: int) -> bool:
    """Add a character that is scored by itself. Returns False if it is forbidden."""
    prefix.text_hash = mixed(prefix.text_hash, letter)
    prefix.word_hash = mixed(np.int64(0), letter)
    _hear(scoring, prefix, letter)
    word = np.int64(scoring.letter_words[letter])
    return _score_unit(scoring, lookups, prefix, word, np.int32(1))


@inlined
def extend(
    scoring: Scoring, lookups: Lookups, prefixes: Prefixes, parent: int, label: int, child: Int
) -> bool:
    """Fill the record `child` with the scores of the prefix one label longer than `parent`.

    Its place in the tree and its history stay as they are. Returns False if the language model or
    the vocabulary forbids it.
    """
    above, prefix = prefixes[parent], prefixes[child]
    prefix.num_words = above.num_words
    prefix.trie = above.trie
    prefix.phrase = above.phrase
    prefix.in_word = above.in_word
    prefix.lm_state = above.lm_state
    prefix.text_hash = above.text_hash
    prefix.word_hash = above.word_hash
    prefix.lm = above.lm
    prefix.hot = above.hot
    prefix.bound = above.bound
    for place in range(2):
        letter = scoring.letters[label, place]
        if letter == NO_LETTER:
            break
        if letter == SPACE:
            allowed = end_word(scoring, lookups, prefix)
        elif scoring.of_words:
            allowed = _add_to_word(scoring, prefix, letter)
        else:
            allowed = _add_character(scoring, lookups, prefix, letter)
        if not allowed:
            return False
    prefix.prior = (
        prefix.lm
        + prefix.bound
        + prefix.hot
        + scoring.phrase_loans[prefix.phrase]
        + scoring.word_bonus * (prefix.num_words + (prefix.in_word > 0))
    )
    return True


@inlined
def most_after_letter(scoring: Scoring, prefix: Prefix) -> float:
    """The highest prior that a prefix can have after one more letter that is no space."""
    most = prefix.prior + scoring.phrase_gain
    if prefix.in_word == 0 or not scoring.of_words:
        return most + max(0.0, scoring.word_bonus)  # the language model only takes
    if not scoring.has_lm:
        return most
    price = _unknown_price(scoring, 1)  # leaving the vocabulary may be cheap
    outside = scoring.lm_weight * scoring.unknown_log_prob + price
    return most + max(0.0, outside - prefix.bound)


@inlined
def most_after_space(scoring: Scoring, prefix: Prefix) -> float:
    """The same after a space: the word may be likelier than its bound."""
    return prefix.prior - prefix.bound + scoring.phrase_gain
