"""Random requests: every object whose requests are answered with 2xx becomes ACTIVE, and is shown as it was sent."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portico.ports.network import SUBNET_ID
from portico.resources import Operation
from portico.resources.kinds import kind_of
from portico.settings import ValidationSettings
from portico.status import OperationState
from tests.e2e.any_values import NEVER, OF_THE_TEST, OPTIONAL, REQUIRED, URLS, bodies, changes
from tests.e2e.site import LBAAS, Site, running_site
from tests.support.ports import find_free_port
from tests.support.waiting import wait_until

PATHS = {
    "load_balancer": "loadbalancers",
    "listener": "listeners",
    "pool": "pools",
    "member": "pools/{parent}/members",
    "health_monitor": "healthmonitors",
    "l7policy": "l7policies",
    "l7rule": "l7policies/{parent}/rules",
}
PARENTS = {
    "listener": ("load_balancer", "loadbalancer_id"),
    "pool": ("load_balancer", "loadbalancer_id"),
    "member": ("pool", None),
    "health_monitor": ("pool", "pool_id"),
    "l7policy": ("listener", "listener_id"),
    "l7rule": ("l7policy", None),
}
"""By kind: the parent's kind, and the attribute that names the parent if the path does not."""
COUNTS = {
    "pool": (4, 7),
    "listener": (4, 8),
    "member": (3, 9),
    "health_monitor": (3, 6),
    "l7policy": (2, 6),
    "l7rule": (2, 8),
}
"""By kind: the least and the most objects to request, parents before their children. Some requests are refused."""
CHANGES = (12, 24)
_ROUNDS = 8
"""The most rounds, of four load balancers each."""
_TARGETS = {"REDIRECT_TO_POOL": "redirect_pool_id", "REDIRECT_TO_URL": "redirect_url"}
_TARGETS["REDIRECT_PREFIX"] = "redirect_prefix"
_PLACED = ("position", "redirect_http_code", *_TARGETS.values())
"""Attributes of a policy that depend on its action and on the listener's other policies."""


@dataclass
class Known:
    """An accepted object: the body that created it, and the attribute values that have been set since and are still in
    force."""

    kind: str
    id: str
    parent: str | None
    path: str
    born: dict[str, Any]
    sent: dict[str, Any]


@dataclass
class Author:
    """Sends requests, and records what was accepted."""

    site: Site
    data: st.DataObject
    known: dict[str, Known] = field(default_factory=dict)
    batches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def of_kind(self, kind: str) -> list[Known]:
        """The accepted objects of a kind, oldest first."""
        return [one for one in self.known.values() if one.kind == kind]

    def ask(self, what: str, method: str, path: str, body: Any = None) -> Any:
        """The body of the answer; None if the request was refused."""
        response = self.site.client.request(method, f"{LBAAS}/{path}", json=body)
        assert response.status_code < 500 or response.status_code == 501, (method, path, body, response.text)
        is_accepted = response.status_code < 300
        self.answers[what, is_accepted] += 1
        if not is_accepted:
            assert response.json()["faultstring"]
            return None
        return response.json() if response.content else {}

    def create(self, kind: str, body: dict[str, Any], parent: Known | None = None) -> None:
        """POST one object."""
        root, path = kind_of(kind).view.root, PATHS[kind].format(parent=parent.id if parent else "")
        place = {PARENTS[kind][1]: parent.id} if parent is not None and PARENTS[kind][1] else {}
        answer = self.ask(f"create {kind}", "POST", path, {root: {**body, **place}})
        if answer is not None:
            made = answer[root]["id"]
            parent_id = parent.id if parent else None
            self.known[made] = Known(kind, made, parent_id, f"{path}/{made}", body, _without_nulls(body))

    def change(self, one: Known, body: dict[str, Any]) -> None:
        """PUT some attributes."""
        root = kind_of(one.kind).view.root
        if self.ask(f"update {one.kind}", "PUT", one.path, {root: body}) is None:
            return
        if one.kind == "l7policy" and set(body) & {"action", *_TARGETS.values()}:
            one.sent = {name: value for name, value in one.sent.items() if name not in ("action", *_PLACED)}
        one.sent = _without_nulls({**one.sent, **body})

    def delete(self, one: Known) -> None:
        """DELETE an object and everything in it."""
        if self.ask(f"delete {one.kind}", "DELETE", one.path) is None:
            return
        gone = {one.id}
        for other in self.known.values():  # parents come before their children
            if other.parent in gone:
                gone.add(other.id)
            if other.sent.get("default_pool_id") == one.id:
                del other.sent["default_pool_id"]
        self.known = {name: other for name, other in self.known.items() if name not in gone}

    def replace_members(self, pool: Known, members: list[dict[str, Any]]) -> None:
        """PUT a pool's members. No other request changes them afterwards."""
        if self.ask("replace members", "PUT", f"pools/{pool.id}/members", {"members": members}) is None:
            return
        self.known = {name: one for name, one in self.known.items() if one.parent != pool.id or one.kind != "member"}
        self.batches[pool.id] = members


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture(scope="module")
def site(haproxy: Path, run_directory: Path) -> Iterator[Site]:
    """``portico up`` with each HAProxy, with PING monitors allowed."""
    directory = Path(tempfile.mkdtemp(dir=run_directory))
    with running_site(directory, haproxy, validation=ValidationSettings(allow_ping_monitors=True)) as site:
        yield site


@pytest.mark.parametrize("kind", PATHS)
def test_every_attribute_is_requested(kind: str) -> None:
    """A new attribute of a spec must either get values here or be listed among the attributes that other tests
    cover."""
    subject = kind_of(kind)
    settable = {name for name in subject.spec.model_fields if name in subject.view.shown}
    assert settable - NEVER - OF_THE_TEST == ({*REQUIRED[kind], *OPTIONAL[kind]} & settable) - OF_THE_TEST


# Portico's threads draw random numbers meanwhile.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
def test_accepted_objects_become_active_and_are_shown_as_sent(site: Site) -> None:
    """Load balancers with parts of all kinds become ACTIVE, and are shown as sent: first with parts created one by one,
    changed and partly deleted while they are built, then with the same parts as one tree."""
    answers: Counter[tuple[str, bool]] = Counter()
    wanted = [(f"{verb} {kind}", True) for verb in ("create", "update") for kind in PATHS]
    wanted.append(("replace members", True))
    ports = [*(find_free_port() for _ in range(8)), 1, 65535]

    @settings(
        max_examples=4,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        author = Author(site, data, answers=answers)
        _describe(author, ports)
        born = [(one.kind, one.id, one.parent, one.born) for one in author.known.values()]
        _change(author)
        load_balancer = author.of_kind("load_balancer")[0].id
        _await_end(site, load_balancer)
        for one in author.known.values():
            _check(site, one)
        for pool_id, members in author.batches.items():
            _check_batch(site, pool_id, members)
        tree = _as_tree(born)
        made = author.ask("create tree", "POST", "loadbalancers", {"loadbalancer": tree})
        assert made is not None, tree
        _await_end(site, made["loadbalancer"]["id"])
        _check_statuses(site, made["loadbalancer"]["id"])
        for done in (load_balancer, made["loadbalancer"]["id"]):
            author.ask("delete tree", "DELETE", f"loadbalancers/{done}?cascade=true")

    # Each new field changes what is drawn. Run two rounds, and more if these left a request out.
    for number in range(_ROUNDS):
        if number < 2 or not all(answers[one] for one in wanted):
            seed(number)(run)()
    assert all(answers[one] for one in wanted), answers


def _describe(author: Author, ports: list[int]) -> None:
    draw: Any = author.data.draw
    author.create("load_balancer", {**draw(bodies("load_balancer")), "vip_subnet_id": SUBNET_ID})
    for kind, bounds in COUNTS.items():
        for _ in range(draw(st.integers(*bounds))):
            body = draw(bodies(kind))
            pools = [one.id for one in author.of_kind("pool")]
            if kind == "listener":
                body["protocol_port"] = draw(st.sampled_from(ports))
                body["default_pool_id"] = draw(st.sampled_from([*pools, None]))
            if kind == "l7policy":
                body.update(_target(draw, body["action"], pools))
            parents = _places(author, kind)
            if parents:
                author.create(kind, body, draw(st.sampled_from(parents)))


def _places(author: Author, kind: str) -> list[Known]:
    """Possible parents of an object of a kind: a pool has one monitor, and only listeners that speak HTTP have
    policies."""
    watched = {one.parent for one in author.of_kind("health_monitor")}
    parents = author.of_kind(PARENTS[kind][0])
    if kind == "health_monitor":
        return [one for one in parents if one.id not in watched]
    return [one for one in parents if kind != "l7policy" or one.born["protocol"] == "HTTP"]


def _target(draw: Any, action: str, pools: list[str]) -> dict[str, Any]:
    """The attribute that a policy's action needs."""
    name = _TARGETS.get(action)
    if name == "redirect_pool_id":
        return {name: draw(st.sampled_from(pools))} if pools else {}
    return {name: draw(URLS)} if name else {}


def _change(author: Author) -> None:
    draw: Any = author.data.draw
    for _ in range(draw(st.integers(*CHANGES))):
        kind = draw(st.sampled_from(sorted({one.kind for one in author.known.values()})))
        one = draw(st.sampled_from(author.of_kind(kind)))
        body = draw(changes(one.kind, kind_of(one.kind).spec.IMMUTABLE))
        pools = [pool.id for pool in author.of_kind("pool")]
        if one.kind == "listener" and draw(st.booleans()):
            body["default_pool_id"] = draw(st.sampled_from([*pools, None]))
        if body.get("action"):
            body.update(_target(draw, body["action"], pools))
        author.change(one, body)
    deletable = [one for one in author.known.values() if one.kind != "load_balancer"]
    if deletable and draw(st.booleans()):
        author.delete(draw(st.sampled_from(deletable)))
    pools_left = author.of_kind("pool")
    if pools_left and draw(st.booleans()):
        members = draw(st.lists(bodies("member"), max_size=3, unique_by=lambda one: str(one["address"])))
        author.replace_members(draw(st.sampled_from(pools_left)), members)


def _await_end(site: Site, load_balancer_id: str) -> None:
    path = f"{LBAAS}/loadbalancers/{load_balancer_id}"

    def ended() -> bool:
        status = site.client.get(path).json()["loadbalancer"]["provisioning_status"]
        return not str(status).startswith("PENDING_")

    wait_until(ended, f"{load_balancer_id} is as it was asked to be")


def _reasons(site: Site) -> list[Any]:
    database = site.portico.worker.services.database
    failed = select(Operation.subject_type, Operation.changes, Operation.reason).where(
        Operation.state == OperationState.FAILED
    )
    return database.read(lambda connection: [tuple(row) for row in connection.execute(failed)])


def _check(site: Site, one: Known) -> None:
    response = site.client.get(f"{LBAAS}/{one.path}")
    assert response.status_code == 200, (one, _reasons(site))
    shown = response.json()[kind_of(one.kind).view.root]
    assert shown["provisioning_status"] == "ACTIVE", (one, shown, _reasons(site))
    sent = one.sent
    if one.kind == "l7policy":
        useful = _TARGETS.get(shown["action"])
        code = () if shown["action"] in ("REJECT", "REDIRECT_TO_POOL") else ("redirect_http_code",)
        sent = {name: value for name, value in sent.items() if name not in _PLACED or name in (useful, *code)}
    _check_shown(shown, sent)


def _check_shown(shown: dict[str, Any], sent: dict[str, Any]) -> None:
    for name, value in sent.items():
        if isinstance(value, dict):
            assert shown[name].items() >= value.items(), (name, shown, sent)
        else:
            assert shown[name] == value, (name, shown, sent)


def _check_batch(site: Site, pool_id: str, members: list[dict[str, Any]]) -> None:
    shown = site.client.get(f"{LBAAS}/pools/{pool_id}/members").json()["members"]
    assert len(shown) == len(members)
    by_place = {(one["address"], one["protocol_port"]): one for one in shown}
    for sent in members:
        one = by_place[sent["address"], sent["protocol_port"]]
        assert one["provisioning_status"] == "ACTIVE", _reasons(site)
        _check_shown(one, _without_nulls(sent))


def _check_statuses(site: Site, load_balancer_id: str) -> None:
    for kind in ("listener", "pool", "health_monitor", "l7policy"):
        collection = kind_of(kind).view.collection
        listed = site.client.get(f"{LBAAS}/{PATHS[kind]}?loadbalancer_id={load_balancer_id}").json()[collection]
        assert {one["provisioning_status"] for one in listed} <= {"ACTIVE"}, (listed, _reasons(site))
    load_balancer = site.client.get(f"{LBAAS}/loadbalancers/{load_balancer_id}").json()["loadbalancer"]
    assert load_balancer["provisioning_status"] == "ACTIVE", (load_balancer, _reasons(site))


def _as_tree(born: list[tuple[str, str, str | None, dict[str, Any]]]) -> dict[str, Any]:
    """The parts that were accepted one by one, as the body of one request."""
    numbers = count()
    bodies_of: dict[str, dict[str, Any]] = {}
    for kind, object_id, parent, given_body in born:
        body = dict(given_body)
        bodies_of[object_id] = body
        if kind == "pool":
            body["name"] = f"pool {next(numbers)}"
        for reference, nested in (("default_pool_id", "default_pool"), ("redirect_pool_id", "redirect_pool")):
            target = body.pop(reference, None)
            if target is not None:
                body[nested] = {"name": bodies_of[target]["name"]}
        if parent is None:
            continue
        if kind == "health_monitor":
            bodies_of[parent]["healthmonitor"] = body
        else:
            key = {"l7policy": "l7policies", "l7rule": "rules"}.get(kind, f"{kind}s")
            bodies_of[parent].setdefault(key, []).append(body)
    return bodies_of[born[0][1]]
