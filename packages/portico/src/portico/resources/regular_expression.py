r"""The regular expressions that L7 rules may use: their dialect.

**The dialect** is what PCRE and PCRE2 both accept with the same meaning (HAProxy is built with one or the other), on
printable ASCII: literals, ``.``, ``^``, ``$``, ``|``, groups ``(...)`` and ``(?:...)``, lookaheads ``(?=...)`` and
``(?!...)``, ``(?i)`` at the start and ``(?i:...)``, character classes with ranges and POSIX names, the escapes ``\d \w
\s \D \W \S \b \B \A \Z \z \t \n \r \f \xHH``, a backslash before any punctuation, and the quantifiers ``* + ? {n} {n,}
{n,m}``, which a ``?`` makes lazy. (``\s`` matches a vertical tab in PCRE2 only.) Everything else is refused with its
position.

``regular_expression_cost`` limits what an expression may cost, and spells it for the engines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

END = 1 << 256
"""The end of the text, as a member of a set of characters. A set is an integer with a bit for each byte in it."""
ANYTHING = (1 << 257) - 1
_BYTES = END - 1
MAX_COUNT = 1000
"""The highest number in a quantifier. The engines accept 65,535, but often copy what is repeated."""
MAX_DEPTH = 10
"""The deepest nesting of groups."""


def _set(characters: str) -> int:
    return sum(1 << byte for byte in set(characters.encode("latin-1")))


def _ranges(*ranges: str) -> int:
    return _set("".join(chr(code) for pair in ranges for code in range(ord(pair[0]), ord(pair[1]) + 1)))


_DIGITS, _LOWER, _UPPER = _ranges("09"), _ranges("az"), _ranges("AZ")
_WORD, _BLANKS = _DIGITS | _LOWER | _UPPER | _set("_"), _set("\t\n\v\f\r ")
DOT = _BYTES & ~_set("\n")
_KINDS = {"d": _DIGITS, "w": _WORD, "s": _BLANKS}
_KINDS |= {kind.upper(): _BYTES & ~characters for kind, characters in _KINDS.items()}
_POSIX = {
    "alpha": _LOWER | _UPPER,
    "digit": _DIGITS,
    "alnum": _DIGITS | _LOWER | _UPPER,
    "lower": _LOWER,
    "upper": _UPPER,
    "space": _BLANKS,
    "punct": _ranges("!/", ":@", "[`", "{~"),
    "xdigit": _ranges("09", "af", "AF"),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_QUANTIFIER = re.compile(r"(?:([*+?])|\{([0-9]{1,9})(?:(,)([0-9]{1,9})?)?\})")
_OPENING = re.compile(r"\((?:\?(:|=|!|i:))?")


class InvalidExpression(ValueError):
    """A regular expression was refused: the rule, and the position where it is broken (from 0; None for the whole)."""

    def __init__(self, position: int | None, rule: str) -> None:
        super().__init__(rule if position is None else f"{rule} (position {position})")


@dataclass(slots=True)
class Item:
    """A part of an expression with its quantifier: ``least`` to ``most`` times (None: any number of times).

    ``start``, ``repetition`` and ``end`` are positions in the text: where the item starts, where its quantifier starts
    (equal to ``end`` if it has none), and where the next item starts.
    """

    kind: Literal["set", "group", "ahead", "start", "edge"]
    start: int
    characters: int = 0
    """For a ``set``: the characters that it matches, with the upper and lower case of each letter. For the ``start`` of
    the text and any other ``edge``, which match between characters: the characters that may follow."""
    branches: list[list[Item]] = field(default_factory=list)
    """The alternatives in a ``group`` or look-``ahead``."""
    opening: int = 0
    """Where the text inside a group begins; 0 for a group that ignores case, whose brackets must stay."""
    least: int = 1
    most: int | None = 1
    repetition: int = 0
    end: int = 0
    settled: bool = False
    """Whether only one number of repetitions can match, so that backtracking into it is useless."""
    closes: int | None = None
    """If set, only the first match of the items that follow, up to this index of the branch, is needed."""


def parse(text: str) -> list[list[Item]]:
    """Parse an expression into its alternatives.

    Raises:
        InvalidExpression: it uses something that the two engines do not both accept with the same meaning.
    """
    for position, character in enumerate(text):
        if not " " <= character <= "~":
            raise InvalidExpression(position, "must be printable ASCII; write other bytes as \\xHH")
    reader = _Reader(text)
    branches = reader.read_branches(0)
    if reader.position < len(text):
        raise InvalidExpression(reader.position, "a ) closes nothing")
    return branches


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = len("(?i)") if text.startswith("(?i)") else 0

    def read_branches(self, depth: int) -> list[list[Item]]:
        branches: list[list[Item]] = [[]]
        while self.position < len(self.text) and self.text[self.position] != ")":
            if self.text[self.position] == "|":
                self.position += 1
                branches.append([])
            else:
                branches[-1].append(self._read_repeated(depth))
        return branches

    def _read_repeated(self, depth: int) -> Item:
        item = self._read_item(depth)
        item.repetition = self.position
        if found := _QUANTIFIER.match(self.text, self.position):
            if item.kind in ("start", "edge", "ahead"):
                raise InvalidExpression(self.position, "a part that matches no characters must not be repeated")
            self.position = found.end()
            item.least, item.most = self._counts(found)
            if self.text[self.position : self.position + 1] == "?":
                self.position += 1
            if _QUANTIFIER.match(self.text, self.position):
                raise InvalidExpression(self.position, "a quantifier must not be repeated or possessive")
        item.end = self.position
        return item

    def _counts(self, found: re.Match[str]) -> tuple[int, int | None]:
        sign, first, comma, last = found.groups()
        if sign:
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        least = int(first)
        most = least if not comma else int(last) if last else None
        if max(least, most or 0) > MAX_COUNT:
            raise InvalidExpression(found.start(), f"a quantifier must not be greater than {MAX_COUNT}")
        if most is not None and most < least:
            raise InvalidExpression(found.start(), "the numbers of a quantifier must be in order")
        return least, most

    def _read_item(self, depth: int) -> Item:
        start, character = self.position, self.text[self.position]
        if character == "(":
            return self._read_group(depth)
        if character == "[":
            return Item("set", start, _folded(self._read_class()))
        if character == "\\":
            return self._read_escape()
        if character in "*+?{":
            raise InvalidExpression(start, f"{character} repeats nothing; write \\{character} for the character")
        self.position += 1
        match character:
            case "^":
                return Item("start", start, ANYTHING)
            case "$":
                return Item("edge", start, END)
            case ".":
                return Item("set", start, DOT)
        return Item("set", start, _folded(_set(character)))

    def _read_group(self, depth: int) -> Item:
        start = self.position
        opening = _OPENING.match(self.text, start)
        if opening is None or (not opening[1] and self.text[opening.end() : opening.end() + 1] in ("?", "*")):
            rule = "only (...), (?:...), (?=...), (?!...) and (?i:...) are supported, and (?i) at the start"
            raise InvalidExpression(start, rule)
        if depth == MAX_DEPTH:
            raise InvalidExpression(start, f"groups must not be nested more than {MAX_DEPTH} deep")
        self.position = opening.end()
        branches = self.read_branches(depth + 1)
        if self.position == len(self.text):
            raise InvalidExpression(start, "a ( is not closed")
        self.position += 1
        kind: Literal["ahead", "group"] = "ahead" if opening[1] in ("=", "!") else "group"
        return Item(kind, start, branches=branches, opening=0 if opening[1] == "i:" else opening.end())

    def _read_escape(self) -> Item:
        start, letter = self.position, self.text[self.position + 1 : self.position + 2]
        if letter and letter in "bBAZz":
            self.position += 2
            kind: Literal["start", "edge"] = "start" if letter == "A" else "edge"
            return Item(kind, start, END if letter in "Zz" else ANYTHING)
        return Item("set", start, _folded(self._read_escaped()[0]))

    def _read_escaped(self) -> tuple[int, bool]:
        """The characters that an escape stands for, and whether it stands for a single character."""
        start, letter = self.position, self.text[self.position + 1 : self.position + 2]
        self.position += 2
        if letter and letter in _KINDS:
            return _KINDS[letter], False
        if letter in _CONTROLS:
            return _set(_CONTROLS[letter]), True
        if letter == "x":
            digits = self.text[self.position : self.position + 2]
            if not re.fullmatch(r"[0-9A-Fa-f]{2}", digits):
                raise InvalidExpression(start, "\\x needs two hexadecimal digits")
            self.position += 2
            return 1 << int(digits, 16), True
        if not letter or letter.isalnum():
            raise InvalidExpression(start, f"\\{letter} is not supported by all engines, or has no meaning here")
        return _set(letter), True

    def _read_class(self) -> int:
        start = self.position
        self.position += 1
        negated = self._take("^")
        characters, first = 0, True
        while first or not self._take("]"):
            if self.position >= len(self.text):
                raise InvalidExpression(start, "a [ is not closed")
            characters |= self._read_range()
            first = False
        return _BYTES & ~characters if negated else characters

    def _read_range(self) -> int:
        start = self.position
        low, single = self._read_one()
        if self.text[self.position : self.position + 1] != "-" or self.text[self.position + 1 : self.position + 2] in (
            "]",
            "",
        ):
            return low
        self.position += 1
        high, also_single = self._read_one()
        if not (single and also_single):
            raise InvalidExpression(start, "a - next to a class of characters must be escaped, or be the last")
        if high < low:
            raise InvalidExpression(start, "a range must be in order")
        return (high << 1) - low

    def _read_one(self) -> tuple[int, bool]:
        start, text = self.position, self.text
        if text.startswith("\\", start):
            return self._read_escaped()
        if text[start : start + 2] in ("[:", "[.", "[="):
            name = re.match(r"\[:([a-z]+):\]", text[start:])
            if name is None or name[1] not in _POSIX:
                raise InvalidExpression(
                    start, f"only these names are supported in [:name:]: {', '.join(_POSIX)}; or escape the ["
                )
            self.position += len(name[0])
            return _POSIX[name[1]], False
        self.position += 1
        return _set(text[start]), True

    def _take(self, character: str) -> bool:
        if not self.text.startswith(character, self.position):
            return False
        self.position += len(character)
        return True


def _folded(characters: int) -> int:
    """Add the other case of each letter to a set: L7 rules can ignore case."""
    shift = ord("a") - ord("A")
    return characters | (characters & _UPPER) << shift | (characters & _LOWER) >> shift
