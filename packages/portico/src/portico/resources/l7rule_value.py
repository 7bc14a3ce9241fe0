"""How the value of an L7 rule is read, unless it is a regular expression: the text that requests are compared with.

Users of the reference write values for the configuration of HAProxy, and have to know its quoting rules (section 2.2 of
its manual): quotes are not part of a word, and protect the blanks in it. The reference escapes backslashes, so each is
a literal backslash. Here there is one exception: in front of a double quote within double quotes, where the reference's
configuration would be broken, a backslash escapes the quote. Nothing is expanded: ``$`` and ``#`` are literal
everywhere.
"""

from __future__ import annotations

import re

_PIECES = (
    re.compile(r"""([^'"]+)|'([^']*)'|"((?:\\"|[^"\\]|\\(?!"))*)\""""),
    re.compile(r"""([^'"]+)|'([^']*)'|"([^"]*)\""""),
)
"""The pieces of a value: text outside of quotes, in single quotes, in double quotes. In the second pattern, which is
tried if the first does not fit, a backslash does not escape, as in ``"C:\\"``."""


def compared(value: str) -> str:
    """The text that a value stands for, without its quotes. If the quotes are unpaired (``it's``) or contain nothing,
    the value is used as it is."""
    return "".join(outside + single + double for outside, single, double in _read(value) or ()) or value


def holds_nothing(value: str) -> bool:
    """Whether a value has nothing but quotes. HAProxy would then compare with an empty text and never match."""
    pieces = _read(value)
    return pieces is not None and not any(map(any, pieces))


def has_bare_blank(value: str) -> bool:
    """Whether there is a blank outside of quotes. A value that begins and ends with a double quote counts as quoted,
    whatever is in between."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return False
    pieces = _read(value)
    return " " in (value if pieces is None else "".join(outside for outside, _, _ in pieces))


def _read(value: str) -> list[tuple[str, str, str]] | None:
    """The pieces of a value, with escaped quotes in double-quoted pieces resolved; None if the quotes are unpaired."""
    for number, piece in enumerate(_PIECES):
        position, found = 0, []
        while match := piece.match(value, position):
            outside, single, double = (text or "" for text in match.groups())
            found.append((outside, single, double if number else double.replace('\\"', '"')))
            position = match.end()
        if position == len(value):
            return found
    return None
