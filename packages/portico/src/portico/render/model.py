"""HAProxy's configuration language as typed values: sections, directives and arguments; and how they become text.

``write`` is the only place where an argument becomes text. A plain ``str`` is not an argument: a word from the code is
a ``Keyword``, and a value from a tenant is a ``Text`` that names its field. The rules are those of section 2.2
("Quoting and escaping") of HAProxy's configuration manual. Within single quotes HAProxy interprets nothing, so every
word that is not plainly harmless is put in single quotes. A single quote in the word closes the quotes, is escaped, and
opens them again. Characters that a line cannot contain even when quoted (line ends, NUL, control characters) are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import LiteralString, NamedTuple, TypeAlias

from portico.errors import InvalidInput

MAX_WORDS = 64
"""The most words that HAProxy reads on one line (its MAX_LINE_ARGS)."""

_BARE = re.compile(r"[A-Za-z0-9_.:/,=+@!()\[\]-]+")
"""Words of characters that are not special in a line: no blanks, quotes, ``\\``, ``#`` and ``$``."""
_IDENTIFIER = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")
_VARIABLE = re.compile(r"PORTICO_[A-Z_]+")


class Keyword(str):
    """A word of HAProxy's language, written as a literal in the code (``tests/render`` checks that it is)."""

    __slots__ = ()

    def __new__(cls, word: LiteralString) -> Keyword:
        """Refuse a spelling that would need quotes.

        Raises:
            ValueError: a mistake in the code.
        """
        if not _BARE.fullmatch(word):
            raise ValueError(f"{word!r} is not a keyword")
        return super().__new__(cls, word)


class Text(NamedTuple):
    """One word with a value from a resource, which HAProxy must read unchanged. If it is refused, the error names
    ``field``."""

    field: str
    word: str


class InheritedSocket(NamedTuple):
    """A listening socket that the agent passes to HAProxy. Environment variable ``name`` has its descriptor number."""

    name: str


class Variable(str):
    """A word that only the agent knows: HAProxy reads it from the environment variable of this name."""

    __slots__ = ()

    def __new__(cls, name: LiteralString) -> Variable:
        """Refuse a name that is not one of Portico's.

        Raises:
            ValueError: a mistake in the code.
        """
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is not a variable of the agent")
        return super().__new__(cls, name)


class Written(str):
    """Words that ``write_all`` has already written, for arguments that several directives share."""

    __slots__ = ()


Argument: TypeAlias = Keyword | Text | int | InheritedSocket | Variable | Written


def write(argument: Argument) -> str:
    """Write an argument as the text of exactly one word (only ``Written`` is several). All arguments pass through here.

    Raises:
        InvalidInput: the value contains a character that cannot be quoted, or its type is not an ``Argument``.
    """
    if isinstance(argument, Text):
        return _quote(argument)
    if isinstance(argument, (Keyword, Written)):
        return argument
    if isinstance(argument, InheritedSocket):
        # Double quotes, here and below only: HAProxy expands variables within them and not within single quotes.
        return f'"fd@${{{argument.name}}}"'
    if isinstance(argument, Variable):
        return f'"${{{argument}}}"'
    if type(argument) is int:  # not isinstance: a bool is an int too
        return str(argument)
    raise InvalidInput("configuration", f"cannot contain {argument!r}")


def _quote(text: Text) -> str:
    field, word = text
    if _BARE.fullmatch(word):
        return word
    if not word.isprintable():
        raise InvalidInput(field, "must not contain control or invisible characters")
    return "'" + word.replace("'", "'\\''") + "'"


def write_all(arguments: Sequence[Argument]) -> Written:
    """Write several arguments as text, separated by blanks."""
    return Written(" ".join(map(write, arguments)))


class Directive:
    """One line: the keywords that name it, as a literal with blanks between them, and its arguments."""

    __slots__ = ("arguments",)

    def __init__(self, keywords: LiteralString, *arguments: Argument) -> None:
        self.arguments: tuple[Argument, ...] = (*map(Keyword, keywords.split(" ")), *arguments)

    def write(self) -> str:
        """Return the line, without indentation and line end.

        Raises:
            InvalidInput: an argument cannot be written, or there are more words than HAProxy reads.
        """
        if len(self.arguments) > MAX_WORDS:
            raise InvalidInput(
                "configuration",
                f"must not have a line of more than {MAX_WORDS} words: {' '.join(map(write, self.arguments[:3]))} ...",
            )
        return " ".join(map(write, self.arguments))


class Section(NamedTuple):
    """A ``frontend``, ``backend`` or ``defaults`` section and its directives."""

    head: Directive
    body: list[Directive]

    def write(self) -> str:
        """Return the section's text, which ends in a line end."""
        return "".join([self.head.write(), "\n", *(f"    {directive.write()}\n" for directive in self.body)])


def identifier(field: str, value: str, *, within: str | None = None) -> Text:
    """An object's id as a name: a UUID (or two, joined by a colon), which cannot be mistaken for a keyword.

    Raises:
        InvalidInput: it is not a UUID.
    """
    for part in (value,) if within is None else (value, within):
        if not _IDENTIFIER.fullmatch(part):
            raise InvalidInput(field, "must be a UUID")
    return Text(field, value if within is None else f"{value}:{within}")


def host(field: str, address: str) -> str:
    """Return an IP address in canonical form, with IPv6 in brackets, so that no part of it is read as a port.

    Raises:
        InvalidInput: it is not an IPv4 or IPv6 address, or has a zone.
    """
    if _IPV4.fullmatch(address):  # already canonical; ten times as fast, and every member has one
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        raise InvalidInput(field, "must be an IPv4 or IPv6 address") from None
    if parsed.version == 4:
        return str(parsed)
    if parsed.scope_id is not None:
        raise InvalidInput(field, "must be an address without a zone")
    return f"[{parsed}]"


def template(field: str, value: str) -> Text:
    """A value for an argument that HAProxy expands as a log format: each ``%`` is doubled, so that it stays a ``%``."""
    return Text(field, value.replace("%", "%%"))


def fetch(function: LiteralString, field: str, name: str, converters: LiteralString = "") -> Text:
    """A sample fetch whose argument is a header's or cookie's name, such as ``req.hdr(Host)``.

    After splitting a line into words, HAProxy parses the arguments of a fetch with separate quoting rules. A name with
    characters other than letters, digits, ``_``, ``.`` and ``-`` is put in double quotes for that second parsing.

    Raises:
        InvalidInput: the name is not a token as RFC 9110 defines it.
    """
    if not _TOKEN.fullmatch(name):
        raise InvalidInput(field, "must be a name as RFC 9110 defines it")
    quoted = name if _PLAIN_TOKEN.fullmatch(name) else f'"{name}"'
    return Text(field, f"{function}({quoted}){converters}")
