"""Splits utterances into train, dev and test, so that no speaker is in two of them."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, TypeAlias

from ds2.corpora.checks.corpus import Item, duration_s_of, items_of, value_of
from ds2.corpora.partition import choose
from ds2.errors import InputError
from ds2.manifest.utterance import Utterance

SPLITS = ("train", "dev", "test")

Texts: TypeAlias = Literal["shared", "apart", "left-out"]
"""What happens to a text that occurs in two splits. "shared": it stays in both. "apart": all its
utterances go into one split. "left-out": train loses it before dev, and dev before test."""

Kept: TypeAlias = Mapping[str, Sequence[Utterance]]
"""The utterances of earlier splits. Their speakers keep their splits."""


@dataclass(frozen=True)
class Amount:
    """The size of a split."""

    value: float
    unit: Literal["share", "hours", "utterances"]

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """Read a size such as 5%, 2h or 500 (utterances). Raises ValueError."""
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%|h|)\s*", text)
        value = float(match[1]) if match else 0.0
        if not match or not value:
            raise ValueError(f"{text}: it must be a share (5%), hours (2h) or utterances (500)")
        if match[2] == "%":
            if value >= 100:
                raise ValueError(f"{text}: it must be under 100%")
            return cls(value / 100, "share")
        if match[2] == "h":
            return cls(value, "hours")
        if value != int(value):
            raise ValueError(f"{text}: it must be a whole number of utterances, or end in % or h")
        return cls(value, "utterances")

    def __str__(self) -> str:
        if self.unit == "share":
            return f"{100 * self.value:g}%"
        return f"{self.value:g} h" if self.unit == "hours" else f"{self.value:,.0f}"


@dataclass(frozen=True)
class SplitRules:
    """How to split."""

    amounts: Mapping[str, Amount]  # of dev, test or both; train gets the rest
    by: tuple[str, ...] = ("speaker",)  # fields whose values must not be in two splits
    texts: Texts = "shared"
    balance: tuple[str, ...] = ()  # fields whose values have the same proportions in each split
    seed: int = 0

    def __post_init__(self) -> None:
        total = sum(a.value for a in self.amounts.values() if a.unit == "share")
        if total >= 1:
            raise ValueError(
                f"dev and test ask for {total:.0%}: leave something for train: ask for less"
            )


@dataclass(frozen=True)
class Splits:
    """The result of a split."""

    utterances: Mapping[str, list[Item]]  # of train, dev and test, in the manifests' order
    left_out: list[Item]  # because of their texts


@dataclass
class _Group:
    """Utterances that must stay together."""

    items: list[Item] = field(default_factory=list)
    name: str = ""  # the least of their keys
    duration_ms: int = 0  # whole numbers, so that sums do not depend on the order
    pinned: set[str] = field(
        default_factory=set
    )  # the earlier splits that hold a part of the group


def split(utterances: Sequence[Utterance], rules: SplitRules, kept: Kept | None = None) -> Splits:
    """Split the utterances.

    The result depends on the seed and on the utterances, not on their order.

    kept: earlier splits. A value of a field of `rules.by` that is in one of them stays there.

    Raises InputError if an utterance lacks a field of `rules.by`, or if there are too few groups.
    """
    items = items_of(utterances)
    groups = _groups(items, rules, kept or {})
    assigned = _assigned(groups, rules)
    split_of = {id(i): name for name in SPLITS for group in assigned[name] for i in group.items}
    found = {name: [item for item in items if split_of[id(item)] == name] for name in SPLITS}
    left_out = _left_out(found, kept or {}) if rules.texts == "left-out" else set()
    return Splits(
        {name: [i for i in found[name] if id(i) not in left_out] for name in SPLITS},
        [item for item in items if id(item) in left_out],
    )


def _keys(item: Item, rules: SplitRules) -> list[tuple[str, str]]:
    """The values of one utterance that must not be in two splits. Raises InputError."""
    keys = []
    for name in rules.by:
        value = value_of(item, name)
        if value is None:
            others = [each for each in ("recording", *item.utterance.extra) if each != name]
            raise InputError(
                f"{item.utterance.where}: has no {name}: add it, or split by another field, such "
                f"as --by {others[0]} (there is {', '.join(others)}), or by --by text, which lets "
                "speakers be in all splits"
            )
        keys.append((name, value))
    if rules.texts == "apart" and item.text:
        keys.append(("text", item.text))
    return keys


def _groups(items: Sequence[Item], rules: SplitRules, kept: Kept) -> list[_Group]:
    """Groups of utterances that share a key, directly or through other utterances."""
    heads: dict[tuple[str, str], tuple[str, str]] = {}

    def head(key: tuple[str, str]) -> tuple[str, str]:
        heads.setdefault(key, key)
        while heads[key] != key:
            heads[key] = heads[heads[key]]
            key = heads[key]
        return key

    # Earlier splits pin their own keys to a split, but never link two groups.
    pins = {
        (name, key) for name in kept for item in items_of(kept[name]) for key in _keys(item, rules)
    }
    first_keys = []
    for item in items:
        keys = _keys(item, rules)
        first_keys.append(keys[0])
        for key in keys[1:]:
            heads[head(keys[0])] = head(key)
    groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
    for item, key in zip(items, first_keys, strict=True):
        group = groups[head(key)]
        group.items.append(item)
        group.duration_ms += round(1000 * duration_s_of(item))
        group.name = min(group.name or "\0".join(key), "\0".join(key))
    for name, key in pins:
        if key in heads:
            groups[head(key)].pinned.add(name)
    for group in groups.values():
        if len(group.pinned) > 1:
            where = group.items[0].utterance.where
            raise InputError(
                f"{where}: utterances of its group are in {' and '.join(sorted(group.pinned))} of "
                "the earlier splits: leave out --keep, or name fewer fields with --by"
            )
    return list(groups.values())


def _assigned(groups: list[_Group], rules: SplitRules) -> dict[str, list[_Group]]:
    """The groups of each split."""
    # A hash gives a random order that is the same for a group whatever other groups there are.
    groups = sorted(groups, key=lambda group: _hash(f"{rules.seed}\0{group.name}"))
    assigned: dict[str, list[_Group]] = {name: [] for name in SPLITS}
    free = []
    for group in groups:
        if group.pinned:
            assigned[next(iter(group.pinned))].append(group)
        else:
            free.append(group)
    asked = [name for name in ("test", "dev") if name in rules.amounts]
    wanting = [name for name in (*asked, "train") if not assigned[name]]
    if len(free) < len(wanting):
        what = " and ".join(rules.by) + (" and text" if rules.texts == "apart" else "")
        raise InputError(
            f"by {what}: {len(groups)} in all, too few for {len(asked) + 1} splits"
            + _way_out(rules)
        )
    for name in asked:
        wanting = [each for each in wanting if each != name]
        measure = _measure(rules.amounts[name])
        target = _target(rules.amounts[name], groups)
        strata = _strata(groups, rules)
        before = {id(group) for group in assigned[name]}
        chosen = _chosen(free, before, strata, measure, target, len(free) - len(wanting))
        if not chosen and not before:
            chosen = [min(free, key=measure)]
        assigned[name] += chosen
        taken = {id(group) for group in chosen}
        free = [group for group in free if id(group) not in taken]
    assigned["train"] += free
    return assigned


def _way_out(rules: SplitRules) -> str:
    """Advice if there are too few groups."""
    if rules.texts == "apart":
        return ": equal texts join them: try --texts left-out"
    if "text" in rules.by:
        return ""
    return ": use --by text, which puts speakers in all splits, and no text in two"


def _chosen(
    free: list[_Group],
    before: set[int],
    strata: Mapping[str, list[_Group]],
    measure: Callable[[_Group], int],
    target: float,
    most: int,
) -> list[_Group]:
    """Free groups for a split. Each stratum gives as much as its part of the target.

    before: ids of the groups that the split has already. most: the most groups to choose.
    """
    whole = sum(map(measure, (group for stratum in strata.values() for group in stratum)))
    free_ids = {id(group) for group in free}
    chosen: list[_Group] = []
    lacking = 0.0  # what the strata so far lack; the next one adds it
    for _, stratum in sorted(strata.items()):
        weight = sum(map(measure, stratum))
        lacking += target * weight / whole if whole else 0.0
        lacking -= sum(measure(group) for group in stratum if id(group) in before)
        there = [group for group in stratum if id(group) in free_ids]
        picked = choose([measure(group) for group in there], lacking, most - len(chosen))
        chosen += [there[index] for index in picked]
        lacking -= sum(measure(there[index]) for index in picked)
    return chosen


def _measure(amount: Amount) -> Callable[[_Group], int]:
    if amount.unit == "utterances":
        return lambda group: len(group.items)
    return lambda group: group.duration_ms


def _target(amount: Amount, groups: Sequence[_Group]) -> float:
    """The target in milliseconds or utterances. Raises InputError if it is too large."""
    whole = sum(map(_measure(amount), groups))
    if amount.unit == "share":
        return amount.value * whole
    target = amount.value * (3_600_000 if amount.unit == "hours" else 1)
    if target >= whole:
        there = f"{whole:,}" if amount.unit == "utterances" else f"{whole / 3_600_000:.2f} h"
        raise InputError(
            f"one split asks for {amount}, but there are only {there} in all: ask for less"
        )
    return target


def _strata(groups: Sequence[_Group], rules: SplitRules) -> dict[str, list[_Group]]:
    """The groups, in their order, by the values that most of their utterances have."""
    strata: dict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        counts: dict[str, int] = defaultdict(int)
        for item in group.items:
            counts["\0".join(value_of(item, name) or "" for name in rules.balance)] += 1
        strata[min(counts, key=lambda value: (-counts[value], value))].append(group)
    return strata


def _left_out(found: Mapping[str, Sequence[Item]], kept: Kept) -> set[int]:
    """Ids of items whose texts are in a smaller split, a new or an earlier one."""
    taken: set[str] = set()
    left_out = set()
    for name in reversed(SPLITS):
        left_out |= {id(item) for item in found[name] if item.text in taken}
        there = (*found[name], *items_of(kept.get(name, ())))
        taken |= {item.text for item in there if item.text}
    return left_out


def _hash(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
