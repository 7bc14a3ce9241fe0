"""A reader of HAProxy configurations, written from section 2.2 of its manual; it shares nothing with the renderer."""

from __future__ import annotations

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
EXPANDED = "<variable>"
_BLANKS = " \t\v\f\r"


class Unreadable(ValueError):
    """A line that HAProxy would not read."""


def read_lines(text: str) -> list[list[str]]:
    """The words of each line that is not empty. A variable keeps its spelling."""
    return [words for line in text.split("\n") if (words := split_words(line))]


def split_words(line: str) -> list[str]:
    """Split a line into its words, unquoted.

    Outside quotes and within double quotes, a backslash escapes; within single quotes, nothing does. ``#`` outside
    quotes ends the line. A NUL ends it anywhere, because HAProxy's strings end there. A ``$`` within double quotes,
    where HAProxy expands variables, is returned as ``EXPANDED``.
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(line.split("\0", maxsplit=1)[0])
    for character in characters:
        if quote and character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote, word = character, word or ""
        elif quote != "'" and character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise Unreadable("ends in a backslash")
            word = (word or "") + _ESCAPES.get(escaped, escaped)
        elif quote == '"' and character == "$":
            word = (word or "") + EXPANDED
        elif not quote and character == "#":
            break
        elif not quote and character in _BLANKS:
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + character
    if quote:
        raise Unreadable(f"a {quote} is not closed")
    return words + ([] if word is None else [word])
