"""The tree of errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.errors import PorticoError

MESSAGE = "what went wrong"


def types_of_errors(root: type[PorticoError] = PorticoError) -> Iterator[type[PorticoError]]:
    """The whole tree."""
    yield root
    for kind in root.__subclasses__():
        yield from types_of_errors(kind)


def is_made_of_message(kind: type[PorticoError]) -> bool:
    """Whether a message alone makes such an error, which then says it."""
    try:
        return str(kind(MESSAGE)) == MESSAGE
    except TypeError:  # it takes more
        return False


@pytest.mark.parametrize("kind", sorted(set(types_of_errors()), key=str))
def test_type_says_whether_it_is_made_of_its_message(kind: type[PorticoError]) -> None:
    """A call whose operation another worker ran raises such a type again, with the message on record."""
    assert kind.made_of_message == is_made_of_message(kind)
