"""Which connection is closed to make room for another."""

from __future__ import annotations

from portico_http import ConnectionLimiter


class Guest:
    """A connection that records that it was closed."""

    def __init__(self, limiter: ConnectionLimiter[Guest], address: str, *, waits: bool = True) -> None:
        self.is_closed = False
        limiter.add(self, address)
        if waits:
            limiter.mark_waiting(self)

    def evict(self) -> None:
        """Close the connection."""
        self.is_closed = True


def test_no_connection_is_closed_while_there_is_room() -> None:
    """The last place is used without closing a connection, the next one is not."""
    limiter: ConnectionLimiter[Guest] = ConnectionLimiter(2)
    first = Guest(limiter, "192.0.2.1")
    assert (limiter.make_room(), first.is_closed) == (True, False)
    Guest(limiter, "192.0.2.2")
    assert (limiter.make_room(), first.is_closed, len(limiter)) == (True, True, 1)


def test_the_client_with_the_most_connections_makes_room() -> None:
    """Its connections are closed, those that have waited longest first, until it has no more than other clients."""
    limiter: ConnectionLimiter[Guest] = ConnectionLimiter(6)
    one = Guest(limiter, "192.0.2.1")
    many = [Guest(limiter, "192.0.2.9") for _ in range(5)]
    limiter.mark_busy(many[0])
    limiter.mark_waiting(many[0])  # now the last to wait
    for _ in range(4):
        assert limiter.evict_one()
    assert [guest.is_closed for guest in many] == [False, True, True, True, True]
    assert not one.is_closed


def test_connections_with_a_running_request_are_never_closed() -> None:
    """Connections with a running request are not closed, however many the client has; if all of them have one, there is
    no room."""
    limiter: ConnectionLimiter[Guest] = ConnectionLimiter(3)
    busy = [Guest(limiter, "192.0.2.9", waits=False) for _ in range(2)]
    idle = Guest(limiter, "192.0.2.1")
    assert (limiter.make_room(), idle.is_closed) == (True, True)
    last = Guest(limiter, "192.0.2.9")
    limiter.mark_busy(last)
    assert not limiter.make_room()
    assert not any(guest.is_closed for guest in [*busy, last])
    limiter.remove(busy[0])
    assert limiter.make_room()


def test_an_ipv6_network_counts_as_one_client() -> None:
    """A client's addresses within a /64 count as one; an IPv4 address is the same in either spelling."""
    limiter: ConnectionLimiter[Guest] = ConnectionLimiter(10)
    others = [Guest(limiter, "2001:db8:0:1::1"), Guest(limiter, "::ffff:192.0.2.1"), Guest(limiter, "192.0.2.2")]
    many = [Guest(limiter, f"2001:db8:0:2:{number}::1%eth0") for number in range(4)]
    assert [limiter.evict_one() for _ in range(3)] == [True] * 3
    assert [guest.is_closed for guest in many].count(True) == 3
    assert not any(guest.is_closed for guest in others)
    both = Guest(limiter, "192.0.2.1")
    limiter.evict_one()
    assert others[1].is_closed
    assert not both.is_closed


def test_removing_is_idempotent() -> None:
    """A connection that was closed to make room can be removed again later."""
    limiter: ConnectionLimiter[Guest] = ConnectionLimiter(1)
    guest = Guest(limiter, "192.0.2.1")
    assert limiter.evict_one()
    limiter.remove(guest)
    limiter.mark_waiting(guest)
    assert (len(limiter), limiter.evict_one()) == (0, False)
