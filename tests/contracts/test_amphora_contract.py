"""The contract that every driver of amphorae fulfils."""

from __future__ import annotations

import socket
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import httpx
import pytest

from portico.drivers.amphora_agent import AgentAmphorae
from portico.drivers.amphora_noop import NoopAmphorae
from portico.drivers.compute_local import LocalCompute
from portico.drivers.compute_noop import NoopCompute
from portico.errors import (
    AddressInUse,
    AmphoraGone,
    ConfigurationRefused,
    DriverUnavailable,
    StaleVersion,
    WireVersionMismatch,
)
from portico.ports.amphora import Amphorae, Endpoint
from portico.ports.compute import Compute, Placement, PlacementRequest
from portico_wire import WIRE_VERSION, ListenerStatistics, ServerClients, ServerStatistics, Sessions, Statistics, Table
from tests.contracts.bundles import make_bundle, make_empty_bundle
from tests.contracts.conftest import AgentHost
from tests.support.bundles import haproxy_of, text_of, with_haproxy
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Drivers:
    """The driver under test, and the compute that places its amphorae."""

    amphorae: Amphorae
    compute: Compute


def as_pairs(sessions: Sessions) -> set[tuple[str, str]]:
    """Pairs of clients and their servers."""
    return {pair for clients in sessions.by_client().values() for pair in clients.items()}


class AmphoraContract(ABC):
    """The behaviour; a subclass provides the drivers."""

    runs_haproxy: ClassVar[bool] = True
    """Feature: configurations run. Without it, nothing listens and no daemon checks configurations."""

    @pytest.fixture
    @abstractmethod
    def drivers(self) -> Drivers:
        """A compute and the driver of the amphorae in it."""

    @pytest.fixture
    def amphorae(self, drivers: Drivers) -> Amphorae:
        """The driver under test."""
        return drivers.amphorae

    @pytest.fixture
    def endpoint(self, drivers: Drivers) -> Iterator[Endpoint]:
        """An amphora that has a place and no configuration yet; it is deleted after the test."""
        place = drivers.compute.ensure(PlacementRequest(str(uuid.uuid4())))
        assert isinstance(place, Placement)
        yield Endpoint(place.amphora_id, place.agent_url, place.agent_name)
        drivers.compute.delete(place.amphora_id)

    @pytest.fixture
    def port(self) -> int:
        """A port for the test's listener."""
        return find_free_port()

    def test_new_amphora_runs_nothing(self, amphorae: Amphorae, endpoint: Endpoint) -> None:
        """Before the first push the version is 0 and nothing runs."""
        state = amphorae.state(endpoint)
        assert (state.amphora_id, state.version, state.running, state.pid) == (endpoint.amphora_id, 0, False, None)

    def test_push_makes_the_version_run(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """After a push the amphora runs that version, and the answer tells by which method."""
        result = amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1 << 16 | 1, port))
        assert (result.version, result.method) == (1 << 16 | 1, "start")
        assert result.milliseconds >= 0
        state = amphorae.state(endpoint)
        assert (state.version, state.running) == (1 << 16 | 1, True)
        assert state.pid

    def test_same_push_changes_nothing(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """Pushing again after a lost reply succeeds, and the same process continues."""
        bundle = make_bundle(endpoint.amphora_id, 5, port)
        amphorae.push(endpoint, bundle)
        pid = amphorae.state(endpoint).pid
        again = amphorae.push(endpoint, bundle)
        assert (again.version, again.method) == (5, "unchanged")
        assert amphorae.state(endpoint).pid == pid

    def test_newer_version_of_the_same_content_is_accepted(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int
    ) -> None:
        """A new owner's first push fences the old owner even if it changes nothing."""
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 5, port))
        assert amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 6, port)).method == "unchanged"
        assert amphorae.state(endpoint).version == 6
        with pytest.raises(StaleVersion):
            amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 5, port))

    def test_older_version_is_refused(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """A worker that lost its lease cannot undo what the new owner did."""
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 2 << 16 | 1, port, answer="new"))
        with pytest.raises(StaleVersion) as refusal:
            amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1 << 16 | 9, port, answer="old"))
        assert not refusal.value.transient
        assert amphorae.state(endpoint).version == 2 << 16 | 1

    def test_same_version_with_other_content_is_refused(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int
    ) -> None:
        """A version means one content: two owners with the same version cannot both be right."""
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 5, port, answer="one"))
        with pytest.raises(StaleVersion):
            amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 5, port, answer="two"))

    def test_change_of_servers_needs_no_new_process(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """Weights change and servers are added and removed in the running process; any other change needs a new one."""
        pids = []
        methods = []
        for version, (answer, weights) in enumerate(
            [("one", (1,)), ("one", (7,)), ("one", (7, 3)), ("one", (3,)), ("two", (3,))], start=1
        ):
            bundle = make_bundle(endpoint.amphora_id, version, port, answer=answer, weights=weights)
            methods.append(amphorae.push(endpoint, bundle).method)
            pids.append(amphorae.state(endpoint).pid)
        assert methods == ["start", "runtime", "runtime", "runtime", "reload"]
        assert len(set(pids[:4])) == 1
        assert pids[4] != pids[3]

    def test_nothing_to_serve_stops_and_starts_again(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """A load balancer without listeners stops its process; the next listener starts it."""
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port))
        assert amphorae.push(endpoint, make_empty_bundle(endpoint.amphora_id, 2)).method == "stop"
        state = amphorae.state(endpoint)
        assert (state.version, state.running, state.pid) == (2, False, None)
        assert amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 3, port)).method == "start"
        assert amphorae.state(endpoint).running

    def test_bundle_that_breaks_the_wires_rules_is_refused(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int
    ) -> None:
        """A bundle that no agent accepts is refused permanently, and the former one continues to run: with a section of
        the agent's, with a server without a line, or for another amphora."""
        good = make_bundle(endpoint.amphora_id, 1, port)
        amphorae.push(endpoint, good)
        for broken in (
            with_haproxy(replace(good, version=2), configuration="global\n    daemon\n" + text_of(good)),
            with_haproxy(replace(good, version=2), servers=(replace(haproxy_of(good).servers[0], name="unknown"),)),
            replace(good, version=2, amphora_id=str(uuid.uuid4())),
        ):
            with pytest.raises(ConfigurationRefused) as refusal:
                amphorae.push(endpoint, broken)
            assert not refusal.value.transient
        assert amphorae.state(endpoint).version == 1

    @pytest.mark.parametrize("wire", [WIRE_VERSION - 1, WIRE_VERSION + 1])
    def test_bundle_of_another_version_of_the_wire_is_refused(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int, wire: int
    ) -> None:
        """Both versions are named, the former bundle continues to run, and the error is transient, because one of the
        two sides will be upgraded."""
        good = make_bundle(endpoint.amphora_id, 1, port)
        amphorae.push(endpoint, good)
        with pytest.raises(WireVersionMismatch, match=f"version {WIRE_VERSION} .* version {wire}$") as refusal:
            amphorae.push(endpoint, replace(good, version=2, wire=wire))
        assert refusal.value.transient
        assert amphorae.state(endpoint).version == 1

    def test_amphora_without_a_place_is_gone(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """An amphora that was never created can be neither read nor changed."""
        unknown = replace(endpoint, amphora_id=str(uuid.uuid4()))
        with pytest.raises(AmphoraGone):
            amphorae.state(unknown)
        with pytest.raises(AmphoraGone):
            amphorae.statistics(unknown)
        with pytest.raises(AmphoraGone):
            amphorae.sessions(unknown)
        with pytest.raises(AmphoraGone):
            amphorae.give_sessions(unknown, Sessions())
        with pytest.raises(AmphoraGone):
            amphorae.push(unknown, make_bundle(unknown.amphora_id, 1, port))

    def test_deleted_amphora_is_gone(self, drivers: Drivers, endpoint: Endpoint, port: int) -> None:
        """A push that is overtaken by a delete does not bring the amphora back."""
        drivers.amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port))
        drivers.compute.delete(endpoint.amphora_id)
        with pytest.raises(AmphoraGone) as refusal:
            drivers.amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 2, port))
        assert not refusal.value.transient
        with pytest.raises(AmphoraGone):
            drivers.amphorae.statistics(endpoint)
        assert endpoint.amphora_id not in drivers.compute.owned()

    def test_concurrent_pushes_leave_the_newest(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """In whatever order the pushes arrive, the newest version runs in the end, and no older one replaces it."""

        def push(version: int) -> str:
            try:
                amphorae.push(endpoint, make_bundle(endpoint.amphora_id, version, port, weights=(version,)))
            except StaleVersion:
                return "stale"
            return "taken"

        versions = [3, 8, 1, 6, 2, 7, 4, 5]
        with ThreadPoolExecutor(4) as pool:
            outcomes = dict(zip(versions, pool.map(push, versions), strict=True))
        assert outcomes[8] == "taken"
        assert amphorae.state(endpoint).version == 8

    def test_sessions_are_known_before_and_after_the_first_push(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int
    ) -> None:
        """Sessions that are sent before the first push are known once the amphora serves. Later ones are added, and do
        not change the known ones. Sessions for servers that do not exist are skipped."""
        first = Sessions((ServerClients("pool", "id-of-pool", "member-1", ("10.0.0.1", "10.0.0.2")),))
        amphorae.give_sessions(endpoint, first)
        assert amphorae.sessions(endpoint) == first
        table = ("stick-table type string len 40 size 100k expire 3600s", "stick on src")
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port, weights=(1, 1), backend=table))
        assert as_pairs(amphorae.sessions(endpoint)) == {("10.0.0.1", "member-1"), ("10.0.0.2", "member-1")}

        more = (
            ServerClients("pool", "id-of-pool", "member-0", ("10.0.0.2", "10.0.0.3")),
            ServerClients("pool", "id-of-pool", "of-another", ("10.0.0.4",)),
            ServerClients("another", "id-of-another", "member-0", ("10.0.0.5",)),
        )
        amphorae.give_sessions(endpoint, Sessions(more))
        known = {("10.0.0.1", "member-1"), ("10.0.0.2", "member-1"), ("10.0.0.3", "member-0")}
        assert as_pairs(amphorae.sessions(endpoint)) == known
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 2, port, answer="two", weights=(1, 1), backend=table))
        assert as_pairs(amphorae.sessions(endpoint)) == known

    def test_sessions_belong_to_pools_whatever_the_names_of_backends(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int
    ) -> None:
        """Two amphorae can have different names for a pool's backend: the clients of all these names are known, before
        the first push and after it. Sessions under the same name have precedence, and those that the amphora knows
        itself are kept."""
        before = (
            ServerClients("pool", "id-of-pool", "member-1", ()),
            ServerClients("one", "id-of-pool", "member-1", ("10.0.0.1", "10.0.0.2")),
            ServerClients("two", "id-of-pool", "member-0", ("10.0.0.3",)),
            ServerClients("pool", "id-of-pool", "member-0", ("10.0.0.2",)),
        )
        amphorae.give_sessions(endpoint, Sessions(before))
        table = ("stick-table type string len 40 size 100k expire 3600s", "stick on src")
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port, weights=(1, 1), backend=table))
        known = {("10.0.0.1", "member-1"), ("10.0.0.2", "member-0"), ("10.0.0.3", "member-0")}
        assert amphorae.sessions(endpoint).by_client() == {Table("pool", "id-of-pool"): dict(known)}

        more = (
            ServerClients("one", "id-of-pool", "member-0", ("10.0.0.1", "10.0.0.4")),
            ServerClients("two", "id-of-pool", "member-1", ("10.0.0.3", "10.0.0.5")),
            ServerClients("pool", "id-of-another", "member-1", ("10.0.0.6",)),
        )
        amphorae.give_sessions(endpoint, Sessions(more))
        known |= {("10.0.0.4", "member-0"), ("10.0.0.5", "member-1")}
        assert as_pairs(amphorae.sessions(endpoint)) == known
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 2, port, answer="two", weights=(1, 1), backend=table))
        assert as_pairs(amphorae.sessions(endpoint)) == known

    def test_statistics_of_nothing(self, amphorae: Amphorae, endpoint: Endpoint) -> None:
        """Before the first push there is no process, and nothing to count."""
        empty = Statistics(endpoint.amphora_id, 0, None, None, (), ())
        assert amphorae.statistics(endpoint) == empty
        amphorae.push(endpoint, make_empty_bundle(endpoint.amphora_id, 4))
        assert amphorae.statistics(endpoint) == replace(empty, version=4)

    def test_statistics_name_what_runs(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """Version and process agree with the state; each listener and server has its row, with zero counters; reading
        them again changes nothing."""
        bundle = make_bundle(endpoint.amphora_id, 7, port, weights=(1, 0))
        amphorae.push(endpoint, bundle)
        state, seen = amphorae.state(endpoint), amphorae.statistics(endpoint)
        assert (seen.amphora_id, seen.version, seen.pid) == (endpoint.amphora_id, 7, state.pid)
        assert seen.started_at is not None
        assert seen.listeners == (ListenerStatistics("id-of-listener", "listener", "OPEN", 0, 0, 0, 0, 0, 0),)
        assert [(each.backend, each.name, each.status, each.check, each.weight) for each in seen.servers] == [
            ("pool", "member-0", "no check", "", 1),
            ("pool", "member-1", "no check", "", 0),
        ]
        assert [(each.pool_id, each.member_id, each.serves) for each in seen.servers] == [
            ("id-of-pool", "id-0", True),
            ("id-of-pool", "id-1", True),
        ]
        assert amphorae.statistics(endpoint) == seen

    def test_statistics_of_a_new_process(self, amphorae: Amphorae, endpoint: Endpoint, port: int) -> None:
        """Adding and removing servers keeps the process that counts; a new process shows by its pid."""
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port))
        first = amphorae.statistics(endpoint)
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 2, port, weights=(1, 1)))
        second = amphorae.statistics(endpoint)
        assert (second.version, second.pid, second.started_at) == (2, first.pid, first.started_at)
        assert len(second.servers) == 2
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 3, port, answer="three"))
        assert amphorae.statistics(endpoint).pid != first.pid

    def test_statistics_of_an_amphora_that_cannot_be_reached(self, drivers: Drivers, endpoint: Endpoint) -> None:
        """The error is transient, unlike the one for an amphora that is gone."""
        with pytest.raises(DriverUnavailable) as refusal:
            self.make_unreachable(drivers).statistics(endpoint)
        assert refusal.value.transient

    @abstractmethod
    def make_unreachable(self, drivers: Drivers) -> Amphorae:
        """The driver, with a host that does not answer the next request."""

    def test_configuration_that_the_daemon_refuses_leaves_the_old_one(
        self, amphorae: Amphorae, endpoint: Endpoint, port: int
    ) -> None:
        """The error contains the daemon's own words; the former configuration continues to run and answer."""
        if not self.runs_haproxy:
            pytest.skip("no daemon checks configurations")
        amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port))
        before = amphorae.state(endpoint)
        bad = make_bundle(endpoint.amphora_id, 2, port, answer="bad", extra="acl no-such-thing path -m reg -- (")
        with pytest.raises(ConfigurationRefused) as refusal:
            amphorae.push(endpoint, bad)
        assert "no-such-thing" in refusal.value.log
        assert amphorae.state(endpoint) == before
        assert ask(port) == "one"
        assert amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 2, port, answer="two")).method == "reload"

    def test_pushed_configuration_serves(self, drivers: Drivers, endpoint: Endpoint, port: int) -> None:
        """Requests get the answer of the newest configuration, and none after the delete."""
        if not self.runs_haproxy:
            pytest.skip("nothing listens")
        for version, answer in enumerate(("one", "two", "three"), start=1):
            drivers.amphorae.push(endpoint, make_bundle(endpoint.amphora_id, version, port, answer=answer))
            assert ask(port) == answer
        drivers.compute.delete(endpoint.amphora_id)
        with pytest.raises(httpx.ConnectError):
            ask(port)

    def test_port_in_use_is_an_address_in_use(self, amphorae: Amphorae, endpoint: Endpoint) -> None:
        """A port that another program listens on has another error than an invalid configuration."""
        if not self.runs_haproxy:
            pytest.skip("nothing listens")
        with socket.create_server(("127.0.0.1", 0)) as other:
            with pytest.raises(AddressInUse) as refusal:
                amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, other.getsockname()[1]))
            assert not refusal.value.transient
        assert not amphorae.state(endpoint).running

    def test_address_that_the_host_does_not_have_is_refused(self, amphorae: Amphorae, endpoint: Endpoint) -> None:
        """The error is permanent, because the listener is at fault."""
        if not self.runs_haproxy:
            pytest.skip("nothing listens")
        bundle = make_bundle(endpoint.amphora_id, 1, 8080)
        with pytest.raises(ConfigurationRefused):
            amphorae.push(endpoint, replace(bundle, sockets=(replace(bundle.sockets[0], address="192.0.2.1"),)))


def ask(port: int) -> str:
    """Where the listener on this port redirects a request, over a new connection."""
    return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=PATIENCE).headers["location"]


class TestAgentAmphorae(AmphoraContract):
    """Through the agent of this host, with HAProxy."""

    @pytest.fixture
    def drivers(self, agent_host: AgentHost) -> Drivers:
        """Uses a running agent."""
        return Drivers(AgentAmphorae(agent_host.client), LocalCompute(agent_host.client, agent_host.agent.identity))

    def make_unreachable(self, drivers: Drivers) -> Amphorae:
        """The driver, with an agent URL where nobody listens."""
        port = find_free_port()

        class Elsewhere(AgentAmphorae):
            def statistics(self, endpoint: Endpoint) -> Statistics:
                return super().statistics(replace(endpoint, agent_url=f"https://127.0.0.1:{port}"))

        assert isinstance(drivers.amphorae, AgentAmphorae)
        return Elsewhere(drivers.amphorae._client)


class TestNoopAmphorae(AmphoraContract):
    """In memory."""

    runs_haproxy = False

    @pytest.fixture
    def drivers(self) -> Drivers:
        """Needs nothing."""
        compute = NoopCompute()
        return Drivers(NoopAmphorae(compute), compute)

    def make_unreachable(self, drivers: Drivers) -> Amphorae:
        """The driver, with a planned failure."""
        assert isinstance(drivers.amphorae, NoopAmphorae)
        drivers.amphorae.fail_next("statistics", DriverUnavailable("unreachable"))
        return drivers.amphorae


def test_noop_amphorae_refuse_on_purpose() -> None:
    """A predicate plays the daemon that reports an alert: bundles that match it are refused, and the former one
    stays."""
    amphorae = NoopAmphorae()
    endpoint = Endpoint("amphora", "noop://amphora", "amphora.noop")
    good = make_bundle("amphora", 1, 8080, answer="good")
    amphorae.push(endpoint, good)
    amphorae.refuse(lambda bundle: "bad" in text_of(bundle))
    with pytest.raises(ConfigurationRefused, match="on purpose"):
        amphorae.push(endpoint, make_bundle("amphora", 2, 8080, answer="bad"))
    assert amphorae.bundle("amphora") == good
    better = make_bundle("amphora", 2, 8080, answer="better")
    amphorae.push(endpoint, better)
    assert amphorae.bundle("amphora") == better
    assert amphorae.pushes == Counter(start=1, reload=1)


def test_lost_reply_of_a_push() -> None:
    """The planned failure comes after the work: the caller sees an error, but the amphora has the configuration."""
    amphorae = NoopAmphorae()
    endpoint = Endpoint("amphora", "noop://amphora", "amphora.noop")
    bundle = make_bundle("amphora", 1, 8080)
    amphorae.fail_next("push", DriverUnavailable("lost"), lost_reply=True)
    with pytest.raises(DriverUnavailable, match="lost"):
        amphorae.push(endpoint, bundle)
    assert amphorae.state(endpoint).version == 1
    assert amphorae.push(endpoint, bundle).method == "unchanged"


def _find(statistics: Statistics, name: str) -> ServerStatistics:
    return next(server for server in statistics.servers if server.name == name)


def test_noop_servers_follow_their_script() -> None:
    """A server with a check goes down and comes back, one without a check is never marked down, and one that tracks
    another follows it. Before its first check, a server's check shows ``INI``."""
    amphorae = NoopAmphorae()
    endpoint = Endpoint("amphora", "noop://amphora", "amphora.noop")
    bundle = make_bundle("amphora", 1, 8080, weights=(1, 1, 1))
    first, second, third = haproxy_of(bundle).servers
    lines = [f"{first.line} check", f"{second.line} track pool/member-0", third.line]
    servers = tuple(replace(server, line=line) for server, line in zip(haproxy_of(bundle).servers, lines, strict=True))
    text = text_of(bundle)
    for before, after in zip(haproxy_of(bundle).servers, servers, strict=True):
        text = text.replace(before.line, after.line)
    amphorae.push(endpoint, with_haproxy(bundle, configuration=text, servers=servers))

    assert [(each.status, each.check) for each in amphorae.statistics(endpoint).servers] == [
        ("UP", "L7OK"),
        ("UP", ""),
        ("no check", ""),
    ]
    amphorae.traffic.delay_first_checks({"id-0"})
    assert _find(amphorae.statistics(endpoint), "member-0").check == "INI"
    amphorae.traffic.delay_first_checks(set())
    for member_id in ("id-0", "id-1", "id-2"):
        amphorae.traffic.take_down(member_id)
    assert [each.status for each in amphorae.statistics(endpoint).servers] == ["DOWN", "DOWN", "no check"]
    amphorae.traffic.bring_up("id-0")
    assert _find(amphorae.statistics(endpoint), "member-0").status == "UP"


def test_noop_listeners_count_as_scripted() -> None:
    """Counters add up in the running process, and start at zero in the next one; unknown counters are refused."""
    amphorae = NoopAmphorae()
    endpoint = Endpoint("amphora", "noop://amphora", "amphora.noop")
    amphorae.push(endpoint, make_bundle("amphora", 1, 8080))
    for _ in range(2):
        amphorae.traffic.count("id-of-listener", bytes_in=5, total_connections=1)
    [before] = amphorae.statistics(endpoint).listeners
    assert (before.bytes_in, before.total_connections, before.bytes_out) == (10, 2, 0)

    amphorae.restart("amphora")
    amphorae.traffic.report_listener("id-of-listener", "FULL")
    [after] = amphorae.statistics(endpoint).listeners
    assert (after.bytes_in, after.status) == (0, "FULL")
    with pytest.raises(ValueError, match="bytes_lost"):
        amphorae.traffic.count("id-of-listener", bytes_lost=1)
