"""Who makes room."""

from __future__ import annotations

from portico_http import Room


class Guest:
    """A connection that remembers being closed."""

    def __init__(self, room: Room[Guest], address: str, *, waits: bool = True) -> None:
        self.is_closed = False
        room.enter(self, address)
        if waits:
            room.wait(self)

    def give_way(self) -> None:
        """Be closed."""
        self.is_closed = True


def test_nobody_makes_room_while_there_is_some() -> None:
    """The last place is taken without anybody's loss, the next one is not."""
    room: Room[Guest] = Room(2)
    first = Guest(room, "192.0.2.1")
    assert (room.make(), first.is_closed) == (True, False)
    Guest(room, "192.0.2.2")
    assert (room.make(), first.is_closed, len(room)) == (True, True, 1)


def test_the_client_with_the_most_makes_room() -> None:
    """Its connections go, those that have waited for longest first, until it has no more than others."""
    room: Room[Guest] = Room(6)
    one = Guest(room, "192.0.2.1")
    many = [Guest(room, "192.0.2.9") for _ in range(5)]
    room.work(many[0])
    room.wait(many[0])  # the last to begin
    for _ in range(4):
        assert room.close_one()
    assert [guest.is_closed for guest in many] == [False, True, True, True, True]
    assert not one.is_closed


def test_who_is_worked_for_never_makes_room() -> None:
    """However many its client has; where that is everybody, there is no room."""
    room: Room[Guest] = Room(3)
    busy = [Guest(room, "192.0.2.9", waits=False) for _ in range(2)]
    idle = Guest(room, "192.0.2.1")
    assert (room.make(), idle.is_closed) == (True, True)
    last = Guest(room, "192.0.2.9")
    room.work(last)
    assert not room.make()
    assert not any(guest.is_closed for guest in [*busy, last])
    room.leave(busy[0])
    assert room.make()


def test_an_ipv6_client_has_a_whole_network() -> None:
    """Its addresses within a /64 count as one; an IPv4 address is the same in either spelling."""
    room: Room[Guest] = Room(10)
    others = [Guest(room, "2001:db8:0:1::1"), Guest(room, "::ffff:192.0.2.1"), Guest(room, "192.0.2.2")]
    many = [Guest(room, f"2001:db8:0:2:{number}::1%eth0") for number in range(4)]
    assert [room.close_one() for _ in range(3)] == [True] * 3
    assert [guest.is_closed for guest in many].count(True) == 3
    assert not any(guest.is_closed for guest in others)
    both = Guest(room, "192.0.2.1")
    room.close_one()
    assert others[1].is_closed
    assert not both.is_closed


def test_leaving_twice_is_leaving_once() -> None:
    """Who was closed to make room is told to be gone later."""
    room: Room[Guest] = Room(1)
    guest = Guest(room, "192.0.2.1")
    assert room.close_one()
    room.leave(guest)
    room.wait(guest)
    assert (len(room), room.close_one()) == (0, False)
