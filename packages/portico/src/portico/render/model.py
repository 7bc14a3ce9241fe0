"""HAProxy's configuration language as values: sections of directives of typed arguments, and their text.

``write`` is the one place where an argument becomes text. A plain ``str`` is no argument: what comes from the code is a
``Keyword``, what comes from a tenant is a ``Text`` that names its field. The rules are those of section 2.2 ("Quoting
and escaping") of HAProxy's configuration manual: within single quotes nothing at all is interpreted, so that is how
everything is quoted that is not plainly harmless. A single quote itself closes, is escaped, and opens again. What a
line cannot hold even when quoted (line ends, NUL, control characters) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import LiteralString, NamedTuple, TypeAlias

from portico.errors import InvalidInput

MAX_WORDS = 64
"""Words that HAProxy reads on one line (its MAX_LINE_ARGS)."""

_BARE = re.compile(r"[A-Za-z0-9_.:/,=+@!()\[\]-]+")
"""Characters that mean nothing to the reader of a line: no blanks, quotes, ``\\``, ``#`` and ``$``."""
_IDENTIFIER = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")
_VARIABLE = re.compile(r"PORTICO_[A-Z_]+")


class Keyword(str):
    """A word of HAProxy's own, spelled out in the code (``tests/render`` checks that nothing else becomes one)."""

    __slots__ = ()

    def __new__(cls, word: LiteralString) -> Keyword:
        """Refuse a spelling that would need quotes.

        Raises:
            ValueError: a mistake in the code.
        """
        if not _BARE.fullmatch(word):
            raise ValueError(f"{word!r} is no keyword")
        return super().__new__(cls, word)


class Text(NamedTuple):
    """One word with a value from a resource, which HAProxy is to take as it is. ``field`` is named where it is
    refused."""

    field: str
    word: str


class InheritedSocket(NamedTuple):
    """A listening socket that the agent hands to HAProxy: its number stands in the environment variable ``name``."""

    name: str


class Variable(str):
    """A word that the agent knows and the code does not: HAProxy takes it from this environment variable."""

    __slots__ = ()

    def __new__(cls, name: LiteralString) -> Variable:
        """Refuse what is no name of ours.

        Raises:
            ValueError: a mistake in the code.
        """
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is no variable of the agent's")
        return super().__new__(cls, name)


class Written(str):
    """Words that ``write_all`` has already written, for arguments that many directives share."""

    __slots__ = ()


Argument: TypeAlias = Keyword | Text | int | InheritedSocket | Variable | Written


def write(argument: Argument) -> str:
    """An argument as the text of exactly one word (the choke point; only ``Written`` is several).

    Raises:
        InvalidInput: the value holds a character that no quoting can carry, or is of no known type.
    """
    if isinstance(argument, Text):
        return _quote(argument)
    if isinstance(argument, (Keyword, Written)):
        return argument
    if isinstance(argument, InheritedSocket):
        # Double quotes here and below only: HAProxy expands variables within these alone.
        return f'"fd@${{{argument.name}}}"'
    if isinstance(argument, Variable):
        return f'"${{{argument}}}"'
    if type(argument) is int:  # and no bool, which is one too
        return str(argument)
    raise InvalidInput("configuration", f"cannot hold {argument!r}")


def _quote(text: Text) -> str:
    field, word = text
    if _BARE.fullmatch(word):
        return word
    if not word.isprintable():
        raise InvalidInput(field, "must not hold control or invisible characters")
    return "'" + word.replace("'", "'\\''") + "'"


def write_all(arguments: Sequence[Argument]) -> Written:
    """Several arguments as text."""
    return Written(" ".join(map(write, arguments)))


class Directive:
    """One line: the keywords that name it, as one literal with blanks between them, and its arguments."""

    __slots__ = ("arguments",)

    def __init__(self, keywords: LiteralString, *arguments: Argument) -> None:
        self.arguments: tuple[Argument, ...] = (*map(Keyword, keywords.split(" ")), *arguments)

    def write(self) -> str:
        """The line, without indentation and line end.

        Raises:
            InvalidInput: an argument cannot be written, or there are more words than HAProxy reads.
        """
        if len(self.arguments) > MAX_WORDS:
            raise InvalidInput(
                "configuration",
                f"a line of more than {MAX_WORDS} words: {' '.join(map(write, self.arguments[:3]))} ...",
            )
        return " ".join(map(write, self.arguments))


class Section(NamedTuple):
    """A ``frontend``, ``backend`` or ``defaults`` and the directives in it."""

    head: Directive
    body: list[Directive]

    def write(self) -> str:
        """The section's text, ending in a line end."""
        return "".join([self.head.write(), "\n", *(f"    {directive.write()}\n" for directive in self.body)])


def identifier(field: str, value: str, *, within: str | None = None) -> Text:
    """An object's id as a name: a UUID (or two, joined by a colon), which can be mistaken for no keyword.

    Raises:
        InvalidInput: it is not a UUID.
    """
    for part in (value,) if within is None else (value, within):
        if not _IDENTIFIER.fullmatch(part):
            raise InvalidInput(field, "must be a UUID")
    return Text(field, value if within is None else f"{value}:{within}")


def host(field: str, address: str) -> str:
    """An IP address in its canonical spelling, an IPv6 one in brackets, so that no port is read out of it.

    Raises:
        InvalidInput: it is not an IPv4 or IPv6 address, or names a zone.
    """
    if _IPV4.fullmatch(address):  # canonical already, and told in a tenth of the time: every member has one
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
    """A value for an argument that HAProxy expands as a log format: each ``%`` is doubled, and so stands for itself."""
    return Text(field, value.replace("%", "%%"))


def fetch(function: LiteralString, field: str, name: str, converters: LiteralString = "") -> Text:
    """A sample fetch whose argument is a header's or cookie's name, such as ``req.hdr(Host)``.

    HAProxy reads the argument of a fetch with quoting rules of its own, once the line is split into words: a name with
    other characters than letters, digits, ``_``, ``.`` and ``-`` is put into double quotes for that second reading.

    Raises:
        InvalidInput: the name is not a token as RFC 9110 defines it.
    """
    if not _TOKEN.fullmatch(name):
        raise InvalidInput(field, "must be a name as RFC 9110 defines it")
    quoted = name if _PLAIN_TOKEN.fullmatch(name) else f'"{name}"'
    return Text(field, f"{function}({quoted}){converters}")
