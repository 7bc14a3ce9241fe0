"""Which member answers: by weight, by state, by session."""

from __future__ import annotations

import time
from typing import Any

import pytest

from portico import Embedded
from tests.e2e.web import build_web
from tests.support.origins import Origin
from tests.support.waiting import wait_until, wait_until_equal

TEACHING_AGE = 6.0
"""Seconds. HAProxy hands its stick tables over once it knows that no other process has any for it, 5 s after its
start."""


def test_a_load_balancer_answers_as_soon_as_it_is_created(portico: Embedded, origins: list[Origin]) -> None:
    """Once ``create_load_balancer`` has returned, the first request is answered, and the rows are ACTIVE."""
    web = build_web(portico, origins)

    assert web.ask().status == 200
    shown = portico.catalog.show("load_balancer", web.id)
    assert (shown["provisioning_status"], web.state().version > 0) == ("ACTIVE", True)
    assert portico.catalog.show("member", web.members["a"])["provisioning_status"] == "ACTIVE"


def test_requests_are_spread_by_weight(portico: Embedded, origins: list[Origin]) -> None:
    """Round robin gives each member its weight's share of the requests, give or take an incomplete round."""
    web = build_web(portico, origins)
    assert web.spread(30) == {"a": 10, "b": 10, "c": 10}

    portico.worker.update_member(web.members["a"], {"weight": 4})

    spread = web.spread(60)
    assert abs(spread["a"] - 40) <= 2
    assert abs(spread["b"] - 10) <= 2
    assert spread.total() == 60


def test_a_drained_member_gets_no_new_requests(portico: Embedded, origins: list[Origin]) -> None:
    """A member with weight 0 gets no requests; with its weight restored it gets requests again."""
    web = build_web(portico, origins)
    portico.worker.update_member(web.members["b"], {"weight": 0})
    assert set(web.spread(20)) == {"a", "c"}

    portico.worker.update_member(web.members["b"], {"weight": 1})
    assert set(web.spread(20)) == {"a", "b", "c"}


def test_members_are_added_changed_and_removed_without_a_reload(portico: Embedded, origins: list[Origin]) -> None:
    """Adding, weighing, switching off and removing members keeps the same HAProxy process running."""
    web = build_web(portico, origins[:1])
    before = web.state()

    added = web.add_member(origins[1])
    assert set(web.spread(10)) == {"a", "b"}
    portico.worker.update_member(added, {"weight": 9})
    portico.worker.update_member(added, {"admin_state_up": False})
    assert set(web.spread(10)) == {"a"}
    portico.worker.delete_member(added)
    assert set(web.spread(10)) == {"a"}

    after = web.state()
    assert (after.pid, after.draining) == (before.pid, 0)
    assert after.version > before.version


def test_a_backup_member_answers_only_when_no_other_can(portico: Embedded, origins: list[Origin]) -> None:
    """A backup member gets no requests until the last regular member is gone."""
    web = build_web(portico, origins[:1])
    web.add_member(origins[1], backup=True)
    assert set(web.spread(6)) == {"a"}

    portico.worker.update_member(web.members["a"], {"admin_state_up": False})
    assert set(web.spread(6)) == {"b"}


@pytest.mark.parametrize("what", ["member", "pool", "listener", "load_balancer"])
def test_a_switched_off_object_does_not_serve(portico: Embedded, origins: list[Origin], what: str) -> None:
    """``admin_state_up`` False takes an object out of service, and True brings it back. Without its member or pool a
    load balancer answers 503; without its listener, or itself switched off, it refuses connections."""
    web = build_web(portico, origins[:1])
    ids = {"member": web.members["a"], "pool": web.pool, "listener": web.listener, "load_balancer": web.id}
    update = getattr(portico.worker, f"update_{what}")

    update(ids[what], {"admin_state_up": False})
    assert web.ask().status == (503 if what in ("member", "pool") else 0)

    update(ids[what], {"admin_state_up": True})
    assert web.ask().status == 200


def test_persistence_by_source_address(portico: Embedded, origins: list[Origin]) -> None:
    """With SOURCE_IP each client address keeps its member, also through a reload, and addresses are spread over
    members."""
    web = build_web(portico, origins, pool={"session_persistence": {"type": "SOURCE_IP"}})
    clients = [f"127.0.0.{number}" for number in range(2, 11)]
    first = {client: web.ask(source=client).body for client in clients}
    assert set(first.values()) == {"a", "b", "c"}
    assert all(web.spread(3, source=client) == {member: 3} for client, member in first.items())

    before = web.state()
    wait_until(lambda: time.time() - (before.started_at or 0) > TEACHING_AGE, "HAProxy is old enough")
    portico.worker.update_listener(web.listener, {"connection_limit": 500})
    wait_until_equal(lambda: web.state().draining, 0, "the former process has handed its table on")
    assert web.state().pid != before.pid
    # In reverse order, because a new round robin would start with the first member and be right by chance.
    assert {client: web.ask(source=client).body for client in reversed(clients)} == first


def test_persistence_by_a_cookie_of_the_load_balancer(portico: Embedded, origins: list[Origin]) -> None:
    """With HTTP_COOKIE the load balancer sets a cookie that leads back to the same member."""
    web = build_web(portico, origins, pool={"session_persistence": {"type": "HTTP_COOKIE"}})
    first = web.ask()
    cookie = first.headers["set-cookie"].partition(";")[0]

    assert web.spread(9, Cookie=cookie) == {first.body: 9}
    assert set(web.spread(9)) == {"a", "b", "c"}
    assert "set-cookie" not in web.ask(Cookie=cookie).headers


def test_persistence_by_a_cookie_of_the_application(portico: Embedded, origins: list[Origin]) -> None:
    """With APP_COOKIE every request that carries the named cookie goes to the member that set it."""
    persistence: dict[str, Any] = {"type": "APP_COOKIE", "cookie_name": "session"}
    web = build_web(portico, origins, pool={"session_persistence": persistence})
    logins = [web.ask("/login") for _ in range(6)]
    assert {login.body for login in logins} == {"a", "b", "c"}

    for login in logins:
        assert web.spread(3, Cookie=login.headers["set-cookie"]) == {login.body: 3}
