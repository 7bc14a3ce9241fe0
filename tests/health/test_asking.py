"""Polling amphorae when some of them do not answer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from structlog.typing import EventDict

from portico.errors import AmphoraGone, DriverUnavailable
from portico.health.asking import Asker
from portico.ports.amphora import AmphoraTraits, Endpoint
from portico.settings import HealthSettings
from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics
from tests.support.waiting import PATIENCE, wait_until

QUICK = HealthSettings(poll_seconds=0.05, threads=2, misses=2)


class Host:
    """Agents that answer, refuse, or keep the caller waiting until ``release``."""

    traits = AmphoraTraits(needs_agents=True, shared=True)

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.unreachable: set[str] = set()
        self.gone: set[str] = set()
        self.slow: set[str] = set()
        self._released = threading.Event()

    def release(self) -> None:
        """Answer the waiting callers."""
        self._released.set()

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """Return statistics with nothing counted."""
        self.asked[endpoint.amphora_id] += 1
        named = {endpoint.amphora_id, endpoint.agent_url}
        if named & self.slow:
            assert self._released.wait(PATIENCE), "nobody released the answer"
        if named & self.unreachable:
            raise DriverUnavailable("no answer")
        if named & self.gone:
            raise AmphoraGone("gone")
        return Statistics(endpoint.amphora_id, 1, None, None, (), ())

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Not used by these tests."""
        raise NotImplementedError

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """Not used by these tests."""
        raise NotImplementedError

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Not used by these tests."""
        raise NotImplementedError

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """Not used by these tests."""
        raise NotImplementedError


@pytest.fixture
def host() -> Host:
    """The host that this test polls."""
    return Host()


@pytest.fixture
def asker(host: Host) -> Iterator[Asker[Endpoint]]:
    """An asker that polls the host."""
    asker = Asker(lambda endpoint: endpoint, host, QUICK)
    yield asker
    host.release()
    asker.close()


def ask_until(asker: Asker[Endpoint], endpoints: list[Endpoint], wanted: set[str]) -> dict[str, Statistics]:
    """Poll until each of these amphorae has answered at least once."""
    found: dict[str, Statistics] = {}

    def all_answered() -> bool:
        found.update(asker.ask(endpoints))
        return wanted <= found.keys()

    wait_until(all_answered, lambda: f"{wanted - found.keys()} answer", pause=QUICK.poll_seconds)
    return found


def amphorae(agent: str, count: int) -> list[Endpoint]:
    """``count`` endpoints on one agent: ``agent-0``, ``agent-1``..."""
    return [Endpoint(f"{agent}-{number}", agent, agent) for number in range(count)]


def test_every_amphora_answers(asker: Asker[Endpoint], host: Host) -> None:
    """Each amphora is asked once per round."""
    endpoints = [*amphorae("a", 3), *amphorae("b", 2), *amphorae("c", 1)]

    assert set(ask_until(asker, endpoints, {each.amphora_id for each in endpoints})) == {
        each.amphora_id for each in endpoints
    }
    assert asker.ask([]) == {}


def test_an_agent_that_hangs_does_not_delay_the_others(asker: Asker[Endpoint], host: Host) -> None:
    """While one agent hangs, the others are polled again and again. Its own answer counts when it arrives, and two
    threads never ask it simultaneously."""
    host.slow.add("a")
    endpoints = [*amphorae("a", 1), *amphorae("b", 1)]

    for _ in range(3):
        assert set(ask_until(asker, endpoints, {"b-0"})) == {"b-0"}
    assert host.asked["a-0"] == 1

    host.release()
    ask_until(asker, endpoints, {"a-0"})


def test_a_dead_agent_is_not_asked_about_each_of_its_amphorae(
    asker: Asker[Endpoint], host: Host, logged: list[EventDict]
) -> None:
    """After two amphorae without an answer, the others on their agent are not asked. The agent is asked less and less
    often, is logged once, and is polled normally once it answers again."""
    host.unreachable.add("a")
    endpoints = [*amphorae("a", 50), *amphorae("b", 1)]
    for _ in range(12):
        ask_until(asker, endpoints, {"b-0"})

    assert set(host.asked) <= {"a-0", "a-1", "b-0"}
    assert host.asked["a-0"] < host.asked["b-0"]

    host.unreachable.clear()
    ask_until(asker, endpoints, {f"a-{number}" for number in range(50)})
    reported = [(each["event"].partition(":")[0], each["agent"]) for each in logged]
    assert reported == [("does not answer", "a"), ("answers again", "a")]


@pytest.mark.parametrize("kind", ["gone", "unreachable"])
def test_an_amphora_that_cannot_be_asked_does_not_affect_the_others(
    asker: Asker[Endpoint], host: Host, kind: str, logged: list[EventDict]
) -> None:
    """The agent answers for the other amphorae on its host. The one that cannot be asked is asked less often, and is
    logged once."""
    getattr(host, kind).add("a-1")
    endpoints = amphorae("a", 3)
    for _ in range(12):
        assert "a-1" not in ask_until(asker, endpoints, {"a-0", "a-2"})

    assert host.asked["a-1"] < host.asked["a-0"]
    assert [each.get("amphora") for each in logged] == ["a-1"]

    getattr(host, kind).clear()
    ask_until(asker, endpoints, {"a-0", "a-1", "a-2"})


def test_an_answer_about_a_removed_amphora_is_dropped(asker: Asker[Endpoint], host: Host) -> None:
    """An answer that arrives after its amphora was removed is dropped."""
    host.slow.add("a")
    asker.ask([*amphorae("a", 1), *amphorae("b", 1)])
    host.release()

    for _ in range(5):
        assert "a-0" not in ask_until(asker, amphorae("b", 1), {"b-0"})
