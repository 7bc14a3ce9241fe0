"""How an L7 rule's value is read: what is compared, where it is not a regular expression.

Users of the reference write values for the configuration of HAProxy, whose rules of quoting (section 2.2 of its manual)
they have to know: quotes are no part of a word, and carry the blanks in it. The reference itself escapes backslashes,
so these stand for themselves; here one does not in front of a double quote within double quotes, where the reference's
configuration would be broken. Nothing is ever expanded: ``$`` and ``#`` stand for themselves everywhere.
"""

from __future__ import annotations

import re

_PIECES = (
    re.compile(r"""([^'"]+)|'([^']*)'|"((?:\\"|[^"\\]|\\(?!"))*)\""""),
    re.compile(r"""([^'"]+)|'([^']*)'|"([^"]*)\""""),
)
"""What a value is made of: text outside of quotes, within single ones, within double ones. By the second reading a
backslash does not escape, as in ``"C:\\"``."""


def compared(value: str) -> str:
    """What a value stands for, without its quotes. Where these do not pair (``it's``) or hold nothing, it is taken as
    it is."""
    return "".join(outside + single + double for outside, single, double in _read(value) or ()) or value


def holds_nothing(value: str) -> bool:
    """Whether there is nothing but quotes: HAProxy compares with nothing then, and never matches."""
    pieces = _read(value)
    return pieces is not None and not any(map(any, pieces))


def has_bare_blank(value: str) -> bool:
    """Whether a blank stands outside of quotes. A value between two double quotes has none, whatever is between."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return False
    pieces = _read(value)
    return " " in (value if pieces is None else "".join(outside for outside, _, _ in pieces))


def _read(value: str) -> list[tuple[str, str, str]] | None:
    """The pieces of a value; the double-quoted ones with their escaped quotes resolved."""
    for number, piece in enumerate(_PIECES):
        position, found = 0, []
        while match := piece.match(value, position):
            outside, single, double = (text or "" for text in match.groups())
            found.append((outside, single, double if number else double.replace('\\"', '"')))
            position = match.end()
        if position == len(value):
            return found
    return None
