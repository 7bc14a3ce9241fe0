"""The catalog's constraints: an object that breaks one is refused with a clear error, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from portico.errors import (
    Conflict,
    Duplicate,
    InvalidInput,
    L7PolicyNotFound,
    LBNotFound,
    ListenerNotFound,
    PoolNotFound,
)
from portico.intake.catalog import Catalog
from portico.resources import L7Policy, Listener, LoadBalancer, Pool
from portico.store.sql.database import Database
from tests.store.rows import dump, rows, write
from tests.support.threads import run_simultaneously

HTTP: dict[str, Any] = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR: dict[str, Any] = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
PATH: dict[str, Any] = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}


@pytest.fixture
def refused(database: Database) -> Callable[..., Exception]:
    """Asserts that a call raises an error of exactly this type, and that nothing was written."""

    def check(kind: type[Exception], call: Callable[..., Any], *arguments: Any, **values: Any) -> Exception:
        before = dump(database)
        with pytest.raises(kind) as refusal:
            call(*arguments, **values)
        assert type(refusal.value) is kind
        assert dump(database) == before
        return refusal.value

    return check


def test_a_port_belongs_to_one_listener(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """Two listeners of one load balancer cannot share a port, whatever their protocols. Listeners of different load
    balancers can."""
    first, second = catalog.add_load_balancer(), catalog.add_load_balancer()
    catalog.add_listener(first, protocol="HTTP", protocol_port=80)

    for protocol in ("HTTP", "TCP"):
        error = refused(Duplicate, catalog.add_listener, first, protocol=protocol, protocol_port=80)
        assert "protocol_port" in str(error)
    catalog.add_listener(first, protocol="TCP", protocol_port=81)
    catalog.add_listener(second, protocol="HTTP", protocol_port=80)


def test_a_port_goes_to_one_of_many_simultaneous_callers(catalog: Catalog) -> None:
    """Of eight callers that request the same port simultaneously, exactly one gets it."""
    load_balancer_id = catalog.add_load_balancer()

    def act(number: int) -> str:
        try:
            catalog.add_listener(load_balancer_id, protocol="HTTP" if number % 2 else "TCP", protocol_port=80)
        except Duplicate:
            return "refused"
        return "added"

    assert sorted(run_simultaneously(8, act)) == ["added", *["refused"] * 7]


def test_a_listener_accepts_a_compatible_pool(catalog: Catalog) -> None:
    """Listeners accept pools of the protocols that the v2 API allows them."""
    load_balancer_id = catalog.add_load_balancer()
    compatible: Any = (
        ("HTTP", "HTTP"),
        ("HTTP", "PROXY"),
        ("HTTPS", "HTTPS"),
        ("HTTPS", "TCP"),
        ("TCP", "HTTP"),
        ("TCP", "PROXYV2"),
    )
    for number, (listener, pool) in enumerate(compatible):
        pool_id = catalog.add_pool(load_balancer_id, protocol=pool, lb_algorithm="ROUND_ROBIN")
        listener_id = catalog.add_listener(
            load_balancer_id, protocol=listener, protocol_port=80 + number, default_pool_id=pool_id
        )
        assert catalog.show("listener", listener_id)["default_pool_id"] == pool_id


def test_a_listener_refuses_an_incompatible_pool(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """A pool of another protocol is refused, whether the listener names the pool or the pool names the listener."""
    load_balancer_id = catalog.add_load_balancer()
    for number, (listener, pool) in enumerate((("HTTP", "TCP"), ("HTTP", "HTTPS"), ("HTTPS", "HTTP"))):
        wanted: dict[str, Any] = {"protocol": pool, "lb_algorithm": "ROUND_ROBIN"}
        pool_id = catalog.add_pool(load_balancer_id, **wanted)
        values: dict[str, Any] = {"protocol": listener, "protocol_port": 80 + number}
        error = refused(InvalidInput, catalog.add_listener, load_balancer_id, default_pool_id=pool_id, **values)
        assert isinstance(error, InvalidInput)
        assert error.field == "default_pool_id"

        listener_id = catalog.add_listener(load_balancer_id, **values)
        refused(InvalidInput, catalog.add_pool, load_balancer_id, listener_id=listener_id, **wanted)


def test_references_stay_within_one_load_balancer(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """Another load balancer's pool is not found, like a pool that does not exist."""
    mine, other = catalog.add_load_balancer(), catalog.add_load_balancer()
    foreign = catalog.add_pool(other, **HTTP)
    listener_id = catalog.add_listener(mine, protocol="HTTP", protocol_port=80)
    for pool_id in (foreign, str(uuid4())):
        listener = {"protocol": "HTTP", "protocol_port": 81, "default_pool_id": pool_id}
        assert pool_id in str(refused(PoolNotFound, catalog.add_listener, mine, **listener))
        policy = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": pool_id}
        assert pool_id in str(refused(PoolNotFound, catalog.add_l7policy, listener_id, **policy))


def test_the_listener_of_a_default_pool_belongs_to_the_same_load_balancer(
    catalog: Catalog, refused: Callable[..., Exception]
) -> None:
    """A pool can only become the default pool of a listener of its own load balancer, and only if the listener has none
    yet."""
    mine, other = catalog.add_load_balancer(), catalog.add_load_balancer()
    foreign = catalog.add_listener(other, protocol="HTTP", protocol_port=80)
    own = catalog.add_listener(mine, protocol="HTTP", protocol_port=80)

    refused(InvalidInput, catalog.add_pool, mine, listener_id=foreign, **HTTP)
    refused(ListenerNotFound, catalog.add_pool, mine, listener_id=str(uuid4()), **HTTP)
    pool_id = catalog.add_pool(mine, listener_id=own, **HTTP)
    assert catalog.show("listener", own)["default_pool_id"] == pool_id
    refused(Duplicate, catalog.add_pool, mine, listener_id=own, **HTTP)


def test_a_missing_parent_is_named(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """If the parent of a new object does not exist, the error is that of the parent's kind."""
    for unknown in (str(uuid4()), "nothing"):
        refused(LBNotFound, catalog.add_listener, unknown, protocol="HTTP", protocol_port=80)
        refused(LBNotFound, catalog.add_pool, unknown, **HTTP)
        refused(PoolNotFound, catalog.add_member, unknown, address="192.0.2.1", protocol_port=80)
        refused(PoolNotFound, catalog.add_health_monitor, unknown, **MONITOR)
        refused(ListenerNotFound, catalog.add_l7policy, unknown, action="REJECT")
        refused(L7PolicyNotFound, catalog.add_l7rule, unknown, **PATH)
        refused(PoolNotFound, catalog.show, "pool", unknown)


def test_ids_that_differ_in_case_are_different(catalog: Catalog) -> None:
    """Ids that differ in case are different on every database, even if the server compares text without regard to
    case."""
    own_id = "abcdefab-0000-4000-8000-000000000000"
    catalog.add_load_balancer(id=own_id)

    with pytest.raises(LBNotFound):
        catalog.add_pool(own_id.upper(), **HTTP)
    with pytest.raises(LBNotFound):
        catalog.show("load_balancer", own_id.upper())


def test_nothing_is_added_below_an_object_that_is_being_deleted(
    catalog: Catalog, database: Database, refused: Callable[..., Exception]
) -> None:
    """A parent whose delete was accepted gets no new children, nor does anything below a load balancer whose delete was
    accepted."""
    load_balancer_id = catalog.add_load_balancer()
    pool_id = catalog.add_pool(load_balancer_id, **HTTP)
    write(database, Pool, Pool.id == pool_id, provisioning_status="PENDING_DELETE")
    refused(Conflict, catalog.add_member, pool_id, address="192.0.2.1", protocol_port=80)
    write(database, Pool, Pool.id == pool_id, provisioning_status="ACTIVE")
    write(database, LoadBalancer, LoadBalancer.id == load_balancer_id, provisioning_status="PENDING_DELETE")

    refused(Conflict, catalog.add_pool, load_balancer_id, **HTTP)
    refused(Conflict, catalog.add_member, pool_id, address="192.0.2.1", protocol_port=80)


def test_nothing_is_added_below_a_listener_that_is_being_deleted(
    catalog: Catalog, database: Database, refused: Callable[..., Exception]
) -> None:
    """A listener whose delete was accepted gets no new policies, and its existing policies get no new rules, because
    they are deleted with it."""
    listener_id = catalog.add_listener(catalog.add_load_balancer(), protocol="HTTP", protocol_port=80)
    policy_id = catalog.add_l7policy(listener_id, action="REJECT")
    write(database, Listener, Listener.id == listener_id, provisioning_status="PENDING_DELETE")

    refused(Conflict, catalog.add_l7policy, listener_id, action="REJECT")
    refused(Conflict, catalog.add_l7rule, policy_id, type="PATH", compare_type="EQUAL_TO", value="/")


def test_the_error_of_a_duplicate_names_the_field(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """The error of a duplicate begins with the field: an address and port that the pool already has, a second monitor,
    or an id or VIP in use."""
    network: dict[str, Any] = {"vip_subnet_id": str(uuid4()), "vip_address": "192.0.2.7"}
    load_balancer_id = catalog.add_load_balancer(**network)
    pool_id = catalog.add_pool(load_balancer_id, **HTTP)
    catalog.add_member(pool_id, address="192.0.2.1", protocol_port=80)
    catalog.add_health_monitor(pool_id, **MONITOR)

    for field, call, arguments, values in (
        ("protocol_port", catalog.add_member, (pool_id,), {"address": "192.0.2.1", "protocol_port": 80}),
        ("pool_id", catalog.add_health_monitor, (pool_id,), MONITOR),
        ("vip_address", catalog.add_load_balancer, (), network),
        ("id", catalog.add_load_balancer, (), {"id": load_balancer_id}),
        ("id", catalog.add_pool, (load_balancer_id,), {"id": pool_id, **HTTP}),
    ):
        assert str(refused(Duplicate, call, *arguments, **values)).startswith(f"{field}:")


def test_a_given_id_must_be_a_uuid(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """Ids become names in configurations and on the wire, so only UUIDs are accepted."""
    invalid_ids: tuple[Any, ...] = (
        5,
        "x" * 65,
        "two\nlines",
        "not-a-uuid",
        "x" * 50,
        "ABCDEFAB-0000-4000-8000-000000000000",
    )
    for own_id in invalid_ids:
        error = refused(InvalidInput, catalog.add_load_balancer, id=own_id)
        assert isinstance(error, InvalidInput)
        assert error.field in ("id", "load_balancer_id")


def test_a_flavor_that_does_not_exist_is_refused(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """A reference that only the database can check raises InvalidInput, too."""
    refused(InvalidInput, catalog.add_load_balancer, flavor_id=str(uuid4()))
    refused(InvalidInput, catalog.add_load_balancer, availability_zone="nowhere")


def test_the_number_of_members_is_limited(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """The limit applies to the members of all pools of a load balancer together."""
    load_balancer_id = catalog.add_load_balancer()
    pools = [catalog.add_pool(load_balancer_id, **HTTP) for _ in range(2)]
    for number in range(5):
        catalog.add_member(pools[number % 2], address="192.0.2.1", protocol_port=1 + number)

    refused(Conflict, catalog.add_member, pools[0], address="192.0.2.1", protocol_port=99)


def test_policies_need_a_listener_that_speaks_http(catalog: Catalog, refused: Callable[..., Exception]) -> None:
    """A TCP listener cannot have policies, because it does not read requests."""
    listener_id = catalog.add_listener(catalog.add_load_balancer(), protocol="TCP", protocol_port=80)

    refused(InvalidInput, catalog.add_l7policy, listener_id, action="REJECT")


def test_a_policy_at_an_occupied_position_moves_the_others_down(catalog: Catalog, database: Database) -> None:
    """Positions of a listener's policies are distinct, and the policies are in the requested order."""
    load_balancer_id = catalog.add_load_balancer()
    listener_id = catalog.add_listener(load_balancer_id, protocol="HTTP", protocol_port=80)
    other = catalog.add_listener(load_balancer_id, protocol="HTTP", protocol_port=81)
    untouched = catalog.add_l7policy(other, action="REJECT", position=1)
    for name, position in (("b", None), ("c", None), ("a", 1), ("ab", 2), ("z", 2147483647)):
        catalog.add_l7policy(listener_id, name=name, action="REJECT", position=position)

    found = sorted((row["position"], row["name"]) for row in rows(database, L7Policy, listener_id=listener_id))
    assert found == [(1, "a"), (2, "ab"), (3, "b"), (4, "c"), (5, "z")]
    assert catalog.show("l7policy", untouched)["position"] == 1


def test_tags_are_kept_unchanged(catalog: Catalog) -> None:
    """Tags keep their order, and empty and repeated ones are kept. Tags that differ only in case are different."""
    tags = ["web", "Web", "", "web ", "web", "wéb"]
    load_balancer_id = catalog.add_load_balancer(tags=tags)

    assert catalog.show("load_balancer", load_balancer_id)["tags"] == tags


def test_a_part_belongs_to_its_parents_project(catalog: Catalog) -> None:
    """An object without a project gets its parent's project."""
    load_balancer_id = catalog.add_load_balancer(project_id="p1")
    pool_id = catalog.add_pool(load_balancer_id, **HTTP)

    assert catalog.show("pool", pool_id)["project_id"] == "p1"
