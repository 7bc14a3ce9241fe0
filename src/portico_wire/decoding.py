"""Strict reading of JSON values: every field named and typed, none left over."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

Item = TypeVar("Item")

AMPHORA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""An id that is also safe as the name of a directory."""

HAPROXY_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
"""What HAProxy takes as the name of a proxy or server."""

BIND_NAME = re.compile(r"PORTICO_BIND_[A-Z0-9_]{1,200}")
"""Name of the environment variable that holds an inherited socket's number."""


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
"""Exactly the IPv4 addresses that ``ipaddress`` takes, told in a tenth of the time: every server has one."""


class WireError(ValueError):
    """A message breaks a rule of the wire.

    Attributes:
        field: path of the offending field, as in ``servers[3].port``; "" for the message as a whole.
        rule: the rule, as a phrase that completes "must be ...".
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field or 'message'}: must be {rule}")
        self.field = field
        self.rule = rule


class Fields:
    """One JSON object being read. Every getter raises WireError; ``finish`` refuses fields that nobody asked for."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise WireError(path, "an object")
        self._values: dict[str, object] = dict(value)
        self._path = path

    def _take(self, name: str) -> tuple[object, str]:
        path = f"{self._path}.{name}" if self._path else name
        if name not in self._values:
            raise WireError(path, "present")
        return self._values.pop(name), path

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        """A string; with ``pattern``, one that matches it as a whole."""
        value, path = self._take(name)
        if not isinstance(value, str):
            raise WireError(path, "a string")
        if "\0" in value:
            raise WireError(path, "free of NUL")
        if not _is_encodable(value):
            raise WireError(path, "free of lone surrogates")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise WireError(path, f"of the form {pattern.pattern}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of a few strings."""
        value, path = self._take(name)
        if not isinstance(value, str) or value not in choices:
            raise WireError(path, f"one of {', '.join(choices)}")
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int:
        """A whole number within bounds; True is none."""
        value, path = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise WireError(path, f"a whole number from {lowest} to {highest}")
        return value

    def number(self, name: str) -> float:
        """A finite number that is not negative; True is none."""
        value, path = self._take(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise WireError(path, "a number, and not negative")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or False."""
        value, path = self._take(name)
        if not isinstance(value, bool):
            raise WireError(path, "true or false")
        return value

    def address(self, name: str) -> str:
        """An IPv4 or IPv6 address without scope."""
        value, path = self._take(name)
        try:
            if not isinstance(value, str) or "%" in value:
                raise ValueError
            if _IPV4.fullmatch(value) is None:
                ipaddress.ip_address(value)
        except ValueError:
            raise WireError(path, "an IP address") from None
        return value

    def items(self, name: str, read: Callable[[object, str], Item]) -> tuple[Item, ...]:
        """A list, each item read by ``read(value, path)``."""
        value, path = self._take(name)
        if not isinstance(value, list | tuple):  # a tuple where it did not pass through JSON
            raise WireError(path, "a list")
        return tuple(read(item, f"{path}[{index}]") for index, item in enumerate(value))

    def optional(self, name: str, read: Callable[[str], Item]) -> Item | None:
        """None, or what the getter ``read`` makes of it."""
        if name in self._values and self._values[name] is None:
            del self._values[name]
            return None
        return read(name)

    def finish(self) -> None:
        """Refuse what was not asked for."""
        for name in self._values:
            path = f"{self._path}.{name}" if self._path else str(name)
            raise WireError(path, "absent: there is no such field")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
