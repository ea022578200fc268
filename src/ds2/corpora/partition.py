"""Chooses some of many weights, at random, so that their sum is near a target."""

from bisect import bisect_left
from collections.abc import Sequence

FEWEST = 10  # a choice has at least this many weights, if enough are small
ROOM = 2  # the pool holds this many times the target, so that many choices are possible
MAX_MOVES = 100  # that improve the first choice


def choose(weights: Sequence[int], target: float, most: int) -> list[int]:
    """Sorted indices of at most `most` weights whose sum is near the target.

    This takes the weights in their order, which should be random, as far as they fit. It prefers
    small weights, so that the choice has ten or more if possible. A test set of one speaker would
    test only one speaker. Then it adds, removes or exchanges single weights while this brings the
    sum nearer.
    """
    if target <= 0 or most <= 0:
        return []
    pool = _pool(weights, target)
    chosen: list[int] = []
    gap = target
    for index in pool:
        if weights[index] <= gap and len(chosen) < most:
            chosen.append(index)
            gap -= weights[index]
    for _ in range(MAX_MOVES):
        move = _best_move(weights, pool, chosen, gap, most)
        if move is None:
            break
        out, into = move
        if out is not None:
            chosen.remove(out)
            gap += weights[out]
        if into is not None:
            chosen.append(into)
            gap -= weights[into]
    return sorted(chosen)


def _pool(weights: Sequence[int], target: float) -> list[int]:
    """Indices of the weights to choose from. They are as small as possible."""
    limit = max(1.0, target / FEWEST)  # weights are whole numbers
    while True:
        pool = [index for index, weight in enumerate(weights) if weight <= limit]
        if len(pool) == len(weights) or sum(weights[i] for i in pool) >= ROOM * target:
            return pool
        limit *= 2


def _best_move(
    weights: Sequence[int], pool: Sequence[int], chosen: Sequence[int], gap: float, most: int
) -> tuple[int | None, int | None] | None:
    """The index to remove and the index to add, to come nearest to the target; None to stop."""
    inside = set(chosen)
    outside = sorted((weights[index], index) for index in pool if index not in inside)
    best, best_gap = None, abs(gap)
    outs: list[int | None] = [*sorted(chosen)]
    if len(chosen) < most:
        outs.append(None)
    for out in outs:
        room = gap + (0 if out is None else weights[out])
        place = bisect_left(outside, (room, -1))
        entries = [None, *(entry for entry in outside[max(0, place - 1) : place + 1])]
        for entry in entries:
            left = abs(room - (entry[0] if entry else 0))
            if left < best_gap:
                best, best_gap = (out, entry[1] if entry else None), left
    return best
