"""The tree of errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.errors import PorticoError

MESSAGE = "what went wrong"


def types_of_errors(root: type[PorticoError] = PorticoError) -> Iterator[type[PorticoError]]:
    """All types of the tree."""
    yield root
    for kind in root.__subclasses__():
        yield from types_of_errors(kind)


def is_made_of_message(kind: type[PorticoError]) -> bool:
    """Whether the type's constructor needs only a message, which is then the error's text."""
    try:
        return str(kind(MESSAGE)) == MESSAGE
    except TypeError:  # it needs more arguments
        return False


@pytest.mark.parametrize("kind", sorted(set(types_of_errors()), key=str))
def test_made_of_message_matches_the_constructor(kind: type[PorticoError]) -> None:
    """A type can be raised again from the message on record if its constructor needs only a message. A call whose
    operation another worker ran relies on this."""
    assert kind.made_of_message == is_made_of_message(kind)
