"""The cost of a regular expression to the engines of HAProxy, and the spelling that costs them least.

An engine that reaches its own limit gives up silently, and the rule does not match: a REJECT policy would let through
the requests that it should stop. And HAProxy's watchdog kills the whole process if one request keeps it busy for
seconds. Measured with HAProxy 2.8 (PCRE 8.32, without JIT) and 2.6 (PCRE2 10.42 with JIT) on the longest head that they
read, 15,360 bytes:

- PCRE stops after 10 million steps from one start: ``^/a.*b.*c`` on ``/abcbbb...`` from 4,469 bytes on. A step takes
  2.5 ns: ``a.*b``, which can start at each ``a``, takes 0.3 s. PCRE2 takes minutes if three ``.*`` follow each other.
- Both store a backtracking point for each iteration of a repeated group, and have little room for them: ``^/(a|b)*$``
  stops matching at 1,365 letters, ``^/(?:ab)*$`` at 8,190.

An expression is therefore treated as a backtracking matcher, and its steps on the worst text are counted before it is
accepted: they may grow with the length of the text, but not with its square. The engines get a spelling that matches
the same texts and spares them useless work (only whether something matches is of interest here):

- A repetition that can end at only one place, because what follows begins with other characters, becomes possessive
  (``[^/]++/``).
- A repetition in front of ``.*`` matches as little as possible. So does a repetition at the beginning of an expression
  that can begin anywhere: ``[a-z]+@`` becomes ``[a-z]@``.
- ``.*$`` at the end is dropped, because it always matches, and ``(x.*)?$`` becomes ``(x|$)``.
- The part between two ``.*`` is matched at the first possible place only, ``(?>.*?between)``, if that is enough
  (``regular_expression_places``). So is the part in front of the first ``.*``, if it can begin anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from typing import TypeAlias

from portico.resources.regular_expression import ANYTHING, DOT, END, InvalidExpression, Item, parse
from portico.resources.regular_expression_places import has_one_end, is_first_place_enough

LONGEST = 15_360
"""The longest head of a request that HAProxy reads, in bytes: ``tune.bufsize`` less ``tune.maxrewrite``."""
MAX_STEPS = 1_000_000
"""The most steps of one expression on one text: 2.5 ms, and a tenth of PCRE's limit, because a step as counted here can
be a few steps in PCRE."""
MAX_SIZE = 500
"""The most parts in an expression, where those of repeated groups are multiplied: the engines copy them, and recurse
one level deeper for each."""
_TOO_MUCH = (
    "would take HAProxy too many steps on a long text: begin it with ^, follow each repetition with a "
    "character that the repetition does not match, or limit the number of repetitions"
)
_LOOP = (
    "a group that is repeated any number of times must have only one way to match, and be followed by $ or by a "
    "character with which it cannot begin; write {0,100} to limit the number of repetitions"
)

_SIGNS = {(0, None): "*", (1, None): "+", (0, 1): "?"}

Branch: TypeAlias = list[Item]
_Edit: TypeAlias = tuple[int, int, int, str]
"""Start, end, order among the edits that start at the same place, and the new spelling."""


def engine_spelling(text: str) -> str:
    """The spelling of an expression that matches the same texts and costs the engines least.

    Raises:
        InvalidExpression: the expression is outside the dialect, or costs too much.
    """
    branches = parse(text)
    if sum(map(_size, _all(branches))) > MAX_SIZE:
        raise InvalidExpression(
            None, f"must not have more than {MAX_SIZE} parts, counting those of repeated groups for each repetition"
        )
    edits: list[_Edit] = []
    branches = [flat for branch in branches for flat in _flat_branches(branch, edits)]
    for branch in branches:
        _end(branch, edits)
    for branch in branches:
        _settle(branch, 0)
    for branch in branches:
        _begin(branch, edits)
        _shorten(branch)
        _close(branch)
    if sum(map(_steps_from_all_starts, branches)) > MAX_STEPS:
        raise InvalidExpression(None, _TOO_MUCH)
    for branch in branches:
        _spell(branch, edits)
    for start, end, _, spelling in sorted(edits, reverse=True):
        text = text[:start] + spelling + text[end:]
    return text or "^"


def _all(branches: Iterable[Iterable[Item]]) -> list[Item]:
    return [item for branch in branches for item in branch]


def _size(item: Item) -> int:
    return 1 + (item.most or 1) * sum(map(_size, _all(item.branches)))


def _flat_branches(branch: Branch, edits: list[_Edit]) -> list[Branch]:
    """The alternatives that a branch consists of, without brackets that change nothing."""
    if len(branch) == 1 and _only_brackets(branch[0]):
        _unbracket(branch[0], edits)
        return [flat for inner in branch[0].branches for flat in _flat_branches(inner, edits)]
    return [_flat(branch, edits)]


def _only_brackets(item: Item) -> bool:
    return item.kind == "group" and item.opening > 0 and item.repetition == item.end


def _unbracket(item: Item, edits: list[_Edit]) -> None:
    edits += [(item.start, item.opening, 0, ""), (item.end - 1, item.end, 0, "")]


def _flat(branch: Branch, edits: list[_Edit]) -> Branch:
    flat: Branch = []
    for item in branch:
        if _only_brackets(item) and len(item.branches) == 1:
            _unbracket(item, edits)
            flat += _flat(item.branches[0], edits)
        else:
            flat.append(item)
    return flat


def _settle(branch: Branch, follow: int) -> None:
    """Find out which repetitions can end at only one place. ``follow`` is the set of characters with which the text
    after the branch must begin; 0 if nothing has to follow."""
    for item in reversed(branch):
        own = _first_of(item)
        item.settled = not own & follow
        for inner in item.branches:
            _settle(inner, 0 if item.kind == "ahead" else follow | (own if item.most != 1 else 0))
        if item.kind == "group" and item.most is None:
            if any(map(_is_endless, _all(item.branches))):
                rule = "must not repeat without limit a part that is itself repeated without limit"
                raise InvalidExpression(item.repetition, rule)
            if not item.settled or not has_one_end(item.branches):
                raise InvalidExpression(item.repetition, _LOOP)
        follow = own | follow if _may_be_empty(item) else own


def _is_endless(item: Item) -> bool:
    return item.most is None or any(map(_is_endless, _all(item.branches)))


def _are_apart(branches: Sequence[Branch], follow: int) -> bool:
    firsts = [_first(branch, follow) for branch in branches]
    return not any(one & other for one, other in combinations(firsts, 2))


def _first(branch: Iterable[Item], follow: int) -> int:
    """The set of characters with which a match of this branch, and of what follows, can begin."""
    characters = 0
    for item in branch:
        characters |= _first_of(item)
        if not _may_be_empty(item):
            return characters
    return characters | follow


def _first_of(item: Item) -> int:
    if item.kind == "group":
        return _union(_first(branch, 0) for branch in item.branches)
    return ANYTHING if item.kind == "ahead" else item.characters


def _union(sets: Iterable[int]) -> int:
    characters = 0
    for one in sets:
        characters |= one
    return characters


def _may_be_empty(item: Item) -> bool:
    return item.least == 0 or (item.kind == "group" and any(all(map(_may_be_empty, inner)) for inner in item.branches))


def _is_star(item: Item) -> bool:
    return item.characters == DOT and item.most is None and item.kind == "set"


def _end(branch: Branch, edits: list[_Edit]) -> None:
    """Drop a ``.*$`` at the end of a branch: texts have no line ends, so it always matches. ``(x.*)?$`` becomes
    ``(x|$)``."""
    if len(branch) < 2 or branch[-1].kind != "edge" or branch[-1].characters != END:
        return
    last, edge = branch[-2], branch[-1]
    if _is_star(last) and last.least == 0:
        edits.append((last.start, edge.end, 0, ""))
        del branch[-2:]
    elif _is_optional_to_the_end(last):
        for inner in last.branches:
            edits.append((inner[-1].start, inner[-1].end, 0, ""))
            del inner[-1]
        closing = last.repetition - 1
        edits += [(closing, closing, 0, "|$"), (last.repetition, edge.end, 0, "")]
        last.branches.append([edge])
        last.least, last.repetition = 1, last.end
        del branch[-1]


def _is_optional_to_the_end(item: Item) -> bool:
    """Whether it is a group like ``(x.*)?``, each of whose branches matches the rest of the text."""
    if item.kind != "group" or item.opening == 0 or (item.least, item.most) != (0, 1):
        return False
    return all(inner and _is_star(inner[-1]) and inner[-1].least == 0 for inner in item.branches)


def _begin(branch: Branch, edits: list[_Edit]) -> None:
    """If a branch can begin anywhere, let the repetition with which it begins match as little as possible."""
    while branch and branch[0].least == 0:
        edits.append((branch[0].start, branch[0].end, 0, ""))
        del branch[0]
    if branch:
        branch[0].most = branch[0].least


def _shorten(branch: Branch) -> None:
    """Let repetitions in front of a ``.*`` match as little as possible: the ``.*`` matches the rest."""
    taken = False
    for item in reversed(branch):
        if taken and item.kind == "set" and item.least != item.most and not _is_star(item):
            item.most = item.least
            taken = item.least == 0
        else:
            taken = _is_star(item)


def _close(branch: Branch) -> None:
    """Mark each ``.*`` where only the first match of the part between it and the next ``.*`` is needed. A branch that
    can begin anywhere is treated as if it began with ``.*``."""
    if branch and branch[0].kind != "start":
        start = branch[0].start
        branch.insert(0, Item("set", start, DOT, least=0, most=None, repetition=start, end=start))
    stars = [index for index, item in enumerate(branch) if _is_star(item)]
    for index, other in pairwise(stars):
        between = branch[index + 1 : other]
        if is_first_place_enough(between):
            branch[index].closes = other
    if branch and branch[0].end == branch[0].start and branch[0].closes is None:
        del branch[0]
        for item in branch:
            item.closes = None if item.closes is None else item.closes - 1


def _steps_from_all_starts(branch: Branch) -> int:
    steps = max(_steps(branch, 0, 0), 1)
    return steps if not branch or branch[0].kind == "start" or branch[0].closes is not None else LONGEST * steps


def _steps_of_any(branches: Sequence[Branch], follow: int, rest: int) -> int:
    """Steps until the worst text fails to match. ``rest`` is the steps of everything that follows; 0 if that cannot
    fail."""
    steps = [_steps(branch, follow, rest) for branch in branches]
    return max(steps) if _are_apart(branches, follow) else sum(steps)


def _steps(branch: Branch, follow: int, rest: int) -> int:
    after = [rest] * (len(branch) + 1)
    for index in reversed(range(len(branch))):
        item = branch[index]
        if item.closes is not None:
            between = _steps(branch[index + 1 : item.closes], ANYTHING, 0)
            steps = LONGEST * max(between, 1) + after[item.closes]
        else:
            steps = _steps_of_item(item, _first(branch[index + 1 :], follow), after[index + 1])
            if item.settled and item.kind == "set" and not (index and _is_limit(branch[index - 1], item)):
                steps += item.most or LONGEST if item.least != item.most and after[index + 1] else 0
        after[index] = min(steps, MAX_STEPS + 1)
    return after[0]


def _is_limit(before: Item, item: Item) -> bool:
    """Whether a repetition cannot start within its own match, because it follows a character that it cannot match."""
    return before.kind == "set" and before.least > 0 and not before.characters & item.characters


def _steps_of_item(item: Item, follow: int, rest: int) -> int:
    if item.kind == "ahead":
        return _steps_of_any(item.branches, 0, 0) + max(rest, 1)
    if item.kind != "group":
        if rest == 0:
            return 0 if item.least == 0 else 1
        choices = (LONGEST if item.most is None else item.most) - item.least + 1
        return rest if item.settled or choices == 1 else choices * (rest + 1)
    if item.most is None:
        return LONGEST * max(_steps_of_any(item.branches, follow, 1), 1) + rest
    steps, again = rest, follow | (_first_of(item) if item.most > 1 else 0)
    for round_ in range(item.most, 0, -1):
        body = _steps_of_any(item.branches, again, steps)
        steps = body if round_ <= item.least else max(body, rest) if item.settled else body + rest
        if steps > MAX_STEPS:
            break
    return steps


def _spell(branch: Branch, edits: list[_Edit]) -> None:
    for item in branch:
        for inner in item.branches:
            _spell(inner, edits)
        counts = _SIGNS.get((item.least, item.most)) or f"{{{item.least},{item.most or ''}}}"
        if item.least == item.most:
            counts = "" if item.least == 1 else f"{{{item.least}}}"
        if item.closes is not None:
            # The implicit .* at the beginning (_close) has no text of its own.
            opening = "^(?>." if item.start == item.end else "(?>"
            edits.append((item.start, item.start, 2, opening))
            edits.append((item.repetition, item.end, 3, counts + "?"))
            end = branch[item.closes - 1].end
            edits.append((end, end, 1, ")"))
        elif item.repetition < item.end:
            possessive = item.settled and item.least != item.most and (item.kind == "set" or item.most is None)
            edits.append((item.repetition, item.end, 0, counts + ("+" if possessive else "")))
