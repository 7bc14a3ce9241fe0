"""Framing: ambiguous bytes are not passed on, unambiguous ones are, however they are split."""

from __future__ import annotations

from collections.abc import Iterator

import h11
import pytest

from portico_http import Framing
from tests.http.shapes import AMBIGUOUS, CLEAR

SIZES = (1, 2, 3, 7, 1000)


def parse(raw: bytes, size: int) -> tuple[int, str]:
    """Pass the bytes through the framing to h11 in pieces of this size, as a server does. Return the number of requests
    that h11 found, and the violation (h11's own if the framing found none)."""
    framing, connection, found = Framing(), h11.Connection(h11.SERVER), 0
    for at in range(0, len(raw), size):
        piece = raw[at : at + size]
        good = framing.feed(piece)
        if good:
            connection.receive_data(piece[:good])
        try:
            for event in events(connection):
                found += isinstance(event, h11.EndOfMessage)
        except h11.RemoteProtocolError as error:
            return found, str(error)
    return found, framing.violation or ("" if framing.is_at_rest else "not at its end")


def events(connection: h11.Connection) -> Iterator[h11.Event]:
    """The events received so far; each request is answered."""
    while (event := connection.next_event()) is not h11.NEED_DATA:
        assert isinstance(event, h11.Event)
        yield event
        if isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=204, headers=[]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_requests_are_refused(raw: bytes, size: int) -> None:
    """None of the ambiguous request is accepted, and the violation is named; the request before it is accepted."""
    before = CLEAR["chunks"]
    found, violation = parse(before + raw, size)
    assert found == 1
    assert violation not in ("", "not at its end")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("raw", CLEAR.values(), ids=CLEAR.keys())
def test_unambiguous_requests_are_passed_on(raw: bytes, size: int) -> None:
    """Bodies can contain any bytes; framing and h11 agree where a request ends, because the framing is at rest then."""
    twice = 1 if b"HTTP/1.0" in raw else 2
    assert parse(raw * twice, size) == (twice, "")


def test_nothing_after_a_violation_is_passed_on() -> None:
    """The bytes after a violation could mean anything."""
    framing = Framing()
    assert framing.feed(b"GET / HTTP/1.1\r\nHost: a\nGET / HTTP/1.1\r\n") == len(b"GET / HTTP/1.1\r\n")
    assert framing.feed(CLEAR["no body"]) == 0


def test_it_is_only_at_rest_between_requests() -> None:
    """It is not at rest from the first byte of a request to the last byte of its body."""
    framing, raw = Framing(), CLEAR["a trailer"]
    rests = [framing.is_at_rest]
    for byte in raw:
        framing.feed(bytes([byte]))
        rests.append(framing.is_at_rest)
    assert rests == [True] + [False] * (len(raw) - 1) + [True]
