"""Mistakes of programs that embed Portico raise a PorticoError that names the mistake, and change nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest

from portico.errors import Closed, InvalidInput, NotFound, PorticoError
from portico.intake.requests import Part
from portico.resources.kinds import KINDS
from tests.support.waiting import PATIENCE
from tests.support.world import World

pytestmark = pytest.mark.database("sqlite")

NEW = str(uuid4())
"""The id of a load balancer that does not exist yet."""
POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
AT = {"address": "192.0.2.77", "protocol_port": 80}
Case = Callable[[Any, dict[str, str]], Any]

MISTAKES: list[tuple[str, str, Case]] = [
    # Unknown kinds, in every method that accepts a kind.
    ("kind", "did you mean 'load_balancer'", lambda w, ids: w.catalog.show("loadbalancer", ids["load_balancer"])),
    ("kind", "must be one of", lambda w, ids: w.catalog.show(None, ids["pool"])),
    ("kind", "must be one of", lambda w, ids: w.catalog.show(["pool"], ids["pool"])),
    ("kind", "did you mean 'pool'", lambda w, _: w.catalog.list_ids("pools")),
    ("kind", "did you mean 'health_monitor'", lambda w, ids: w.requests.create("healthmonitor", ids["pool"])),
    ("kind", "must be one of", lambda w, _: w.requests.create(None)),
    ("kind", "did you mean 'member'", lambda w, ids: w.requests.update("Member", ids["member"], {"weight": 1})),
    ("kind", "did you mean 'member'", lambda w, ids: w.requests.delete("members", ids["member"])),
    ("kind", "must be one of", lambda w, ids: w.requests.failover("server", ids["member"])),
    ("kind", "must be one of", lambda w, _: w.requests.create("load_balancer", id=NEW, parts=[Part("x", NEW, NEW)])),  # type: ignore[arg-type]
    # A kind that does not support the action.
    ("kind", "cannot be failed over", lambda w, ids: w.requests.failover("member", ids["member"])),
    ("kind", "create_amphora", lambda w, ids: w.requests.create("amphora", ids["load_balancer"])),
    ("kind", "updated", lambda w, ids: w.requests.update("amphora", w.amphora_of(ids["load_balancer"]), {"name": "x"})),
    # Attributes and columns that do not exist.
    ("adress", "did you mean 'address'", lambda w, ids: w.catalog.add_member(ids["pool"], adress="192.0.2.77")),
    ("adress", "cannot|can be set", lambda w, ids: w.catalog.add_member(ids["pool"], **AT, adress=None)),
    ("wieght", "did you mean 'weight'", lambda w, ids: w.worker.update_member(ids["member"], {"wieght": 5})),
    ("wieght", "did you mean 'weight'", lambda w, ids: w.requests.update("member", ids["member"], {"wieght": 5})),
    ("5", "can be set", lambda w, ids: w.requests.update("member", ids["member"], {5: 5})),
    ("poolid", "did you mean 'pool_id'", lambda w, ids: w.catalog.list_ids("member", poolid=ids["pool"])),
    ("pool_id", "must be text", lambda w, ids: w.catalog.list_ids("member", pool_id=[ids["pool"]])),
    # Values of the wrong type.
    (
        "address",
        "string",
        lambda w, ids: w.catalog.add_member(ids["pool"], **{**AT, "address": ip_address("192.0.2.7")}),
    ),
    ("pool_id", "id", lambda w, _: w.catalog.add_member(None, **AT)),
    ("pool_id", "id", lambda w, _: w.requests.create("member", **AT)),
    ("listener_id", "id", lambda w, ids: w.catalog.add_pool(ids["load_balancer"], listener_id=[], **POOL)),
    ("listener_id", "pools", lambda w, ids: w.requests.create("member", ids["pool"], listener_id=NEW, **AT)),
    ("parent_id", "no parent", lambda w, ids: w.requests.create("load_balancer", ids["load_balancer"])),
    ("request_id", "printable", lambda w, ids: w.requests.create("member", ids["pool"], request_id=5, **AT)),
    ("request_id", "printable", lambda w, ids: w.requests.delete("member", ids["member"], request_id="x" * 65)),
    ("request_id", "printable", lambda w, ids: w.requests.replace_members(ids["pool"], [], request_id=b"x")),
    ("load_balancer_id", "id", lambda w, _: w.worker.create_load_balancer(None)),
    ("load_balancer_id", "id", lambda w, _: w.requests.configure(None)),
    ("operation_id", "id", lambda w, _: w.requests.outcome(None)),
    ("operation_id", "id", lambda w, _: w.requests.outcome("\ud800")),
    ("member_updates", "dict", lambda w, ids: w.worker.update_member(ids["member"], None)),
    ("member_updates", "dict", lambda w, ids: w.worker.update_member(ids["member"], {})),
    ("member_updates", "dict", lambda w, ids: w.requests.update("member", ids["member"], None)),
    ("member_updates", "dict", lambda w, ids: w.requests.update("member", ids["member"], "weight")),
    ("load_balancer_updates", "dict", lambda w, ids: w.requests.update("load_balancer", ids["load_balancer"], None)),
    ("pool_id", "id", lambda w, _: w.requests.replace_members(None, [])),
    ("members", "list of dicts", lambda w, ids: w.requests.replace_members(ids["pool"], None)),
    ("members", "list of dicts", lambda w, ids: w.requests.replace_members(ids["pool"], "abc")),
    ("members", "list of dicts", lambda w, ids: w.requests.replace_members(ids["pool"], [5])),
    # Parts that no operation would build.
    (
        "id",
        "is not an attribute",
        lambda w, _: w.requests.create(
            "load_balancer", id=NEW, parts=[Part("pool", str(uuid4()), NEW, {"id": NEW, **POOL})]
        ),
    ),
    ("parts", "list of", lambda w, _: w.requests.create("load_balancer", parts="abc")),
    ("parts", "list of", lambda w, _: w.requests.create("load_balancer", parts=[{"kind": "pool"}])),
    ("parts", "neither", lambda w, ids: w.requests.create("load_balancer", parts=[Part("pool", NEW, ids["pool"])])),
    (
        "parts",
        "has none",
        lambda w, ids: w.requests.create("member", ids["pool"], parts=[Part("pool", NEW, NEW)], **AT),
    ),
]


@pytest.mark.parametrize(("field", "rule", "make"), MISTAKES)
def test_a_mistake_is_reported_with_its_name(field: str, rule: str, make: Case, world: World) -> None:
    """The error names the argument and the rule. Nothing is written or requested."""
    ids = world.build()
    before = world.dump()
    with pytest.raises(InvalidInput, match=rule) as refusal:
        make(world, ids)
    assert refusal.value.field == field
    assert world.dump() == before


def test_a_missing_object_raises_the_error_of_its_kind(world: World) -> None:
    """Each kind that can be shown has its own error for a missing object."""
    for kind in KINDS:
        with pytest.raises(NotFound, match=NEW):
            world.catalog.show(kind, NEW)


def test_changes_can_be_any_mapping(world: World) -> None:
    """Changes can be any mapping, not only a dict."""
    ids = world.build()
    changes: Any = MappingProxyType({"weight": 3})
    world.worker.update_member(ids["member"], changes)
    world.requests.update("pool", ids["pool"], MappingProxyType({"name": "p"}))
    world.run_all()
    assert world.catalog.show("member", ids["member"])["weight"] == 3
    assert world.catalog.show("pool", ids["pool"])["name"] == "p"


def test_closed_workers_and_databases_refuse_calls(world: World) -> None:
    """A closed worker refuses calls before anything is accepted, so no object ends in ERROR. A closed database refuses
    every request."""
    ids = world.build()
    closed = world.add_worker()
    closed.close()
    before = world.dump()
    for call in (
        lambda: closed.update_member(ids["member"], {"weight": 5}),
        lambda: closed.delete_load_balancer(ids["load_balancer"]),
        closed.create_amphora,
        closed.run_pending,
    ):
        with pytest.raises(Closed, match="worker was closed"):
            call()
    assert world.dump() == before

    world.close()
    for ask in (
        lambda: world.catalog.show("pool", ids["pool"]),
        world.catalog.add_load_balancer,
        lambda: world.requests.delete("pool", ids["pool"]),
    ):
        with pytest.raises(Closed, match="database was closed"):
            ask()
    world.close()


def test_closing_in_a_forked_process_does_not_disturb_the_parent(world: World) -> None:
    """Closing a worker in a forked process waits for nothing, and does not disturb the flows that run in the parent."""
    ids, worker = world.build(), world.worker
    running, closed = threading.Event(), threading.Event()

    def on_task(_flow: str, _task: str, _state: str) -> None:
        running.set()
        closed.wait(PATIENCE)

    world.on_task = on_task
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(worker.update_member, ids["member"], {"weight": 5})
        running.wait(PATIENCE)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            try:
                worker.close()
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        closed.set()
        call.result(PATIENCE)
    assert status == 0


def test_a_forked_process_must_open_its_own_connections(world: World) -> None:
    """Connections are not shared across a fork. The process that opened them continues to use them."""
    ids = world.build()
    child = os.fork()
    if child == 0:
        try:
            world.catalog.show("pool", ids["pool"])
        except Closed as error:
            os._exit(0 if f"process {os.getppid()}" in str(error) else 3)
        except PorticoError:
            os._exit(2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    world.worker.update_member(ids["member"], {"weight": 5})
