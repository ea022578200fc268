"""Laws for the order of training."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.training.data.sampler import SortaGradSampler, share

DURATIONS = st.lists(st.floats(0.1, 30.0), min_size=1, max_size=60)


def sampler(durations_s: list[float], seed: int = 0, *, sortagrad: bool = True) -> SortaGradSampler:
    return SortaGradSampler(
        durations_s, batch_seconds=40.0, max_batch_size=8, seed=seed, sortagrad=sortagrad
    )


@settings(deadline=None)
@given(DURATIONS, st.integers(0, 3), st.integers(0, 9), st.booleans())
def test_every_utterance_comes_exactly_once_in_every_epoch(
    durations_s: list[float], epoch: int, seed: int, sortagrad: bool
) -> None:
    batches = sampler(durations_s, seed, sortagrad=sortagrad).batches(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(durations_s)))


@settings(deadline=None)
@given(DURATIONS, st.integers(0, 3))
def test_a_minibatch_keeps_within_its_seconds_and_its_size(
    durations_s: list[float], epoch: int
) -> None:
    for batch in sampler(durations_s).batches(epoch):
        longest_s = max(durations_s[index] for index in batch)
        assert len(batch) <= 8
        assert len(batch) == 1 or len(batch) * longest_s <= 40.0


@settings(deadline=None)
@given(DURATIONS)
def test_the_first_epoch_goes_from_short_to_long(durations_s: list[float]) -> None:
    batches = sampler(durations_s).batches(0)
    longest_s = [max(durations_s[index] for index in batch) for batch in batches]
    assert longest_s == sorted(longest_s)
    order = [durations_s[index] for batch in batches for index in batch]
    assert order == sorted(durations_s)


@settings(deadline=None)
@given(DURATIONS, st.integers(0, 3), st.integers(0, 60))
def test_skipping_gives_the_rest_of_the_same_epoch(
    durations_s: list[float], epoch: int, skip: int
) -> None:
    whole = sampler(durations_s).batches(epoch)
    assert list(sampler(durations_s).epoch(epoch, skip=skip)) == whole[skip:]


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_the_shares_of_all_processes_are_the_minibatch(batch: list[int], world_size: int) -> None:
    shares = [share(batch, rank, world_size) for rank in range(world_size)]
    assert sorted(index for part in shares for index in part) == sorted(batch)
    sizes = [len(part) for part in shares]
    assert max(sizes) - min(sizes) <= 1


def test_later_epochs_come_in_random_order_with_other_neighbours() -> None:
    durations_s = [1.0 + 0.01 * index for index in range(64)]
    batches = [sampler(durations_s).batches(epoch) for epoch in range(3)]
    sets = [{frozenset(batch) for batch in epoch} for epoch in batches]
    assert sets[1] != sets[2]
    firsts = [min(batch) for batch in batches[1]]
    assert firsts != sorted(firsts)
    assert sampler(durations_s, seed=1).batches(1) != batches[1]


def test_without_sortagrad_the_first_epoch_is_random_too() -> None:
    durations_s = [float(1 + index % 7) for index in range(64)]
    order = [i for batch in sampler(durations_s, sortagrad=False).batches(0) for i in batch]
    assert [durations_s[i] for i in order] != sorted(durations_s)


def test_the_keys_of_all_processes_are_the_minibatches() -> None:
    sampler = SortaGradSampler([1.0, 3.0, 2.0, 5.0, 4.0], batch_seconds=10, max_batch_size=3)
    keys = [list(sampler.keys(1, 1, rank, 2)) for rank in range(2)]
    for batch, one, two in zip(sampler.batches(1)[1:], *keys, strict=True):
        assert sorted(one + two) == sorted((1, index) for index in batch)


def test_by_its_share_an_utterance_has_its_turn_once_in_so_many_epochs() -> None:
    shares = [1.0] * 5 + [0.25] * 40
    sampler = SortaGradSampler(
        [1.0] * 45, batch_seconds=10, max_batch_size=5, seed=3, shares=shares
    )
    counts = [0] * 45
    for epoch in range(8):
        drawn = [index for batch in sampler.batches(epoch) for index in batch]
        assert len(set(drawn)) == len(drawn)
        assert 5 + 3 <= len(drawn) <= 5 + 20  # 10 of 40, about
        for index in drawn:
            counts[index] += 1
    assert counts == [8] * 5 + [2] * 40
    assert sampler.batches(3) == sampler.batches(3)
