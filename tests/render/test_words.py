"""The tests' own reader of configurations reads like HAProxy. The reader judges the renderer, so it is tested
itself."""

from __future__ import annotations

import pytest

from tests.render.words import EXPANDED, Unreadable, read_lines, split_words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("a 'b c' d", ["a", "b c", "d"]),
        ('a "b \\" c" d', ["a", 'b " c', "d"]),
        (r"a 'it'\''s' b", ["a", "it's", "b"]),
        (r"'back\slash' and\ blank", [r"back\slash", "and blank"]),
        ("a #b c", ["a"]),
        ("a '#b' c", ["a", "#b", "c"]),
        ("a '' b", ["a", "", "b"]),
        ("a b\0c d", ["a", "b"]),
        ('bind "fd@${NAME}"', ["bind", f"fd@{EXPANDED}{{NAME}}"]),
        ("a '${NAME}' $NAME \"\\$NAME\"", ["a", "${NAME}", "$NAME", "$NAME"]),
    ],
)
def test_words_are_split_and_unquoted(line: str, words: list[str]) -> None:
    """Blanks, both kinds of quotes, escapes, comments and NULs are read as section 2.2 of HAProxy's manual
    describes."""
    assert split_words(line) == words


@pytest.mark.parametrize("line", ["a 'b", 'a "b', "a \\"])
def test_unfinished_words_are_unreadable(line: str) -> None:
    """An unclosed quote or a backslash at the end is an error, not a word."""
    with pytest.raises(Unreadable):
        split_words(line)


def test_a_line_end_ends_even_a_quoted_word() -> None:
    """A quoted word cannot contain a line end: the rest is a line of its own."""
    with pytest.raises(Unreadable):
        read_lines("a 'b\nc'")
