"""The places where matches of a part of an expression can end, found by following two matches at once.

The part is turned into a state machine with one place (state) for each character that it spells. Being at a place means
that a character of the place's set was just read. The machine does not count repetitions exactly: it matches everything
that the part matches, and maybe more. If the machine has no other end, neither has the part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

from portico.resources.regular_expression import Item

_MOST_PLACES = 150
"""The most places in one machine. All pairs of places may be visited, which takes some milliseconds."""
_Pair: TypeAlias = tuple[int, int]


class _Part(NamedTuple):
    """The places at which a part of the machine begins and ends, and whether it can be passed without reading a
    character."""

    first: frozenset[int]
    last: frozenset[int]
    is_empty: bool


_NOTHING = _Part(frozenset(), frozenset(), is_empty=True)


class _TooMuch(Exception):  # not an error: there is no answer for this part
    """The part depends on the text around it, or has too many places."""


def is_first_place_enough(items: Sequence[Item]) -> bool:
    """Whether no match ends before another match that starts earlier or at the same place. If so, what may come
    anywhere after a match is found after the first match, if at all."""
    return _has_no_earlier_end([items], from_within=True)


def has_one_end(branches: Iterable[Sequence[Item]]) -> bool:
    """Whether all matches that start at the same place end at the same place, and none is empty."""
    return _has_no_earlier_end(branches, from_within=False)


def _has_no_earlier_end(branches: Iterable[Sequence[Item]], *, from_within: bool) -> bool:
    machine = _Machine()
    try:
        whole = machine.add_any(branches)
    except _TooMuch:
        return False
    if whole.is_empty:
        return from_within and not whole.first
    starts = whole.first.union(*machine.after) if from_within else whole.first
    seen: set[_Pair] = set()
    waiting = [pair for pair in product(starts, whole.first) if machine.agree(pair)]
    while waiting:
        longer, shorter = waiting.pop()
        if (longer, shorter) in seen:
            continue
        if shorter in whole.last and machine.after[longer]:
            return False
        seen.add((longer, shorter))
        following = product(machine.after[longer], machine.after[shorter])
        waiting += [pair for pair in following if machine.agree(pair)]
    return True


class _Machine:
    def __init__(self) -> None:
        self.sets: list[int] = []
        self.after: list[set[int]] = []

    def agree(self, pair: _Pair) -> bool:
        """Whether one character can be read at both places."""
        return self.sets[pair[0]] & self.sets[pair[1]] != 0

    def add_any(self, branches: Iterable[Sequence[Item]]) -> _Part:
        parts = [self._add_all(branch) for branch in branches]
        first, last = (part.first for part in parts), (part.last for part in parts)
        return _Part(frozenset().union(*first), frozenset().union(*last), any(part.is_empty for part in parts))

    def _add_all(self, items: Iterable[Item]) -> _Part:
        whole = _NOTHING
        for item in items:
            for _ in range(item.least):
                whole = self._follow(whole, self._add_once(item))
            if item.most is None or item.most > item.least:
                part = self._add_once(item)
                if item.most is None or item.most - item.least > 1:
                    part = self._follow(part, part)
                whole = self._follow(whole, part._replace(is_empty=True))
        return whole

    def _follow(self, one: _Part, other: _Part) -> _Part:
        for place in one.last:
            self.after[place] |= other.first
        return _Part(
            one.first | other.first if one.is_empty else one.first,
            one.last | other.last if other.is_empty else other.last,
            one.is_empty and other.is_empty,
        )

    def _add_once(self, item: Item) -> _Part:
        if item.kind == "group":
            return self.add_any(item.branches)
        if item.kind != "set" or len(self.sets) == _MOST_PLACES:
            raise _TooMuch
        self.sets.append(item.characters)
        self.after.append(set())
        place = frozenset({len(self.sets) - 1})
        return _Part(place, place, is_empty=False)
