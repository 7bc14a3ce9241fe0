"""Strict decoding of JSON values: every field is named and typed, and none is left over.

A message is a frozen dataclass whose annotations define what each field accepts: a type that is sufficient on its own
(``str``, ``bool``, ``float``, a ``Literal``, another message, a tuple of any of these, or one of them or None), or
``Annotated`` with one of the readers of this module. Messages have no decoders of their own that would have to be kept
in step with their fields.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Read = TypeVar("Read", bound="Message")

Reader = Callable[[object], object]
"""Returns the value, or raises WireError, whose ``field`` is the place within the value."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""An id, which is also safe as the name of a directory."""

HAPROXY_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
"""A name that HAProxy accepts for a proxy or server."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
"""Matches exactly the IPv4 addresses that ``ipaddress`` accepts, in a tenth of the time: every server has one."""


class WireError(ValueError):
    """A message breaks a rule of the wire.

    Attributes:
        field: path of the offending field, as in ``sockets[3].port``; "" for the message as a whole.
        rule: the rule, as a phrase that completes "must be ...".
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(field, rule)
        self.field = field
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.field or 'message'}: must be {self.rule}"

    def within(self, place: str) -> WireError:
        """The same error, as seen from the value that contains the offending one at ``place``: a field, or ``[3]``."""
        separator = "" if not self.field or self.field.startswith("[") else "."
        self.field = f"{place}{separator}{self.field}"
        return self


class Message:
    """A frozen dataclass that can be decoded from JSON values and encoded to them."""

    __slots__ = ()

    @classmethod
    def from_dict(cls: type[Read], value: object) -> Read:
        """Decode; raises WireError, which names the field and the rule."""
        return read_message(cls, value)

    def to_dict(self) -> dict[str, object]:
        """Encode to values that ``json.dumps`` accepts and ``from_dict`` decodes."""
        # By the cached names of each class: dataclasses.asdict takes 20 ms for 1,000 servers, this a twentieth of it.
        return _shape_of(type(self)).encode(self)

    def require_consistency(self) -> None:
        """Check rules that involve more than one field. Raises WireError."""


def read_message(kind: type[Read], value: object) -> Read:
    """Decode a message; every ``from_dict`` calls this, including those that do more. Raises WireError."""
    if not isinstance(value, dict):
        raise WireError("", "an object")
    shape = _shape_of(kind)
    known: dict[str, object] = {}
    for name, reader in shape.readers:
        if name not in value:
            raise WireError(name, "present")
        try:
            known[name] = reader(value[name])
        except WireError as error:
            raise error.within(name) from None
    if len(value) > len(known):
        raise WireError(str(next(name for name in value if name not in known)), "absent: there is no such field")
    message = kind(**known)
    message.require_consistency()
    return message


def require_unique(field: str, keys: Sequence[Hashable]) -> None:
    """Require that no two items of a field have the same key. Raises WireError."""
    if len(set(keys)) != len(keys):
        raise WireError(field, "unique")


# Readers: for ``Annotated``


def text(pattern: re.Pattern[str] | None = None) -> Reader:
    """A reader of strings; with ``pattern``, of strings that match it as a whole."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            raise WireError("", "a string")
        if "\0" in value:
            raise WireError("", "free of NUL")
        if not value.isascii() and not _is_encodable(value):
            raise WireError("", "free of lone surrogates")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise WireError("", f"of the form {pattern.pattern}")
        return value

    return read


def integer(lowest: int, highest: int) -> Reader:
    """A reader of whole numbers within bounds, which does not accept True and False."""

    def read(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise WireError("", f"a whole number from {lowest} to {highest}")
        return value

    return read


def address(value: object) -> object:
    """Read an IPv4 or IPv6 address without scope."""
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        if _IPV4.fullmatch(value) is None:
            ipaddress.ip_address(value)
    except ValueError:
        raise WireError("", "an IP address") from None
    return value


def _read_number(value: object) -> object:
    """Read a finite number that is not negative; True and False are not numbers."""
    # Compared before the conversion, because JSON can have whole numbers too large for a float. NaN fails as well.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise WireError("", "a number that is not negative")
    return float(value)


def _read_flag(value: object) -> object:
    if not isinstance(value, bool):
        raise WireError("", "true or false")
    return value


def _choice(choices: tuple[str, ...]) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, str) or value not in choices:
            raise WireError("", f"one of {', '.join(choices)}")
        return value

    return read


def _items(read_item: Reader) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, list | tuple):  # it is a tuple if it did not pass through JSON
            raise WireError("", "a list")
        read_so_far: list[object] = []
        try:
            for item in value:
                read_so_far.append(read_item(item))  # noqa: PERF401 - its length is the index of a bad item
        except WireError as error:
            raise error.within(f"[{len(read_so_far)}]") from None
        return tuple(read_so_far)

    return read


def _optional(read_value: Reader) -> Reader:
    return lambda value: None if value is None else read_value(value)


# From the annotations of a message to its readers


class _Shape:
    """The fields of a kind of message. ``nested``: those that contain tuples or messages, which have to be encoded."""

    def __init__(self, kind: type[Message]) -> None:
        hints = get_type_hints(kind, include_extras=True)
        self.names = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]  # it is a dataclass
        self.readers = [(name, _reader_of(hints[name])) for name in self.names]
        self.nested = [name for name in self.names if not _is_plain(hints[name])]
        self._values_of = attrgetter(*self.names, self.names[0])  # with a single name it would not return a tuple

    def encode(self, message: Message) -> dict[str, object]:
        """Encode a message, for ``to_dict``."""
        encoded: dict[str, object] = dict(zip(self.names, self._values_of(message), strict=False))
        for name in self.nested:
            encoded[name] = _encode(encoded[name])
        return encoded


_SHAPES: dict[object, _Shape] = {}


def _shape_of(kind: type[Message]) -> _Shape:
    """The shape of a kind of message; made once, with the first message of that kind."""
    shape = _SHAPES.get(kind)
    if shape is None:
        shape = _SHAPES[kind] = _Shape(kind)
    return shape


_UNIONS = (UnionType, Union)
"""The origins of a type "or None": the first for plain types, the second for annotated ones."""

_PLAIN: Mapping[object, Reader] = {str: text(), bool: _read_flag, float: _read_number}


def _reader_of(hint: object) -> Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        reader: Reader = arguments[1]
        return reader
    if origin is Literal:
        return _choice(arguments)
    if origin is tuple:
        if len(arguments) != 2 or arguments[1] is not Ellipsis:
            raise TypeError(f"{hint}: a tuple in a message must have any length and items of one type")
        return _items(_reader_of(arguments[0]))
    if origin in _UNIONS:
        [of_value] = [argument for argument in arguments if argument is not NoneType]
        return _optional(_reader_of(of_value))
    if isinstance(hint, type) and issubclass(hint, Message):
        return hint.from_dict
    return _PLAIN[hint]


def _is_plain(hint: object) -> bool:
    """Whether a value of this type needs no encoding for JSON."""
    if get_origin(hint) in {tuple, *_UNIONS}:
        return get_origin(hint) in _UNIONS and all(_is_plain(argument) for argument in get_args(hint))
    return not (isinstance(hint, type) and issubclass(hint, Message))


def _encode(value: object) -> object:
    if isinstance(value, tuple):
        if not value or not isinstance(value[0], Message):
            return list(value)
        encode = _shape_of(type(value[0])).encode
        return [encode(item) for item in value]
    return value.to_dict() if isinstance(value, Message) else value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
