"""Sessions: every process of an amphora knows which client belongs to which server."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from hashlib import sha1
from http.client import HTTPConnection
from uuid import uuid4

import pytest

from portico_wire import Bundle, Frontend, ServerClients, Sessions, Table
from tests.agent.bundles import Recipe
from tests.agent.rig import AgentRig
from tests.support.bundles import haproxy_of, text_of, with_haproxy
from tests.support.clients import fetch
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE

MANY = 5_000
STICKING = (
    "stick-table type ipv6 size 100k expire 1800s",
    "tcp-request content set-var(txn.server) src,map_ip(pool.map)",
    "acl known var(txn.server) -m found",
    "use-server '%[var(txn.server)]' if known",
    "stick on src",
)


@pytest.fixture
def sticking(recipe: Recipe) -> Recipe:
    """A pool that keeps clients by their source addresses."""
    return recipe.but(extra=STICKING)


def clients_of(agent: AgentRig) -> dict[str, str]:
    """The server of each client."""
    [clients] = agent.sessions().by_client().values() or [{}]
    return clients


def make_clients(server: str) -> dict[str, str]:
    """Return the sessions of many clients that never connected."""
    return {f"::ffff:10.{number // 250}.0.{number % 250}": server for number in range(MANY)}


def as_message(clients: dict[str, str]) -> Sessions:
    """Return the message that contains these clients."""
    return Sessions.of({Table("pool", "id-of-pool"): clients})


@pytest.mark.parametrize("server", ["alpha", "beta"])
def test_known_clients_reach_their_servers(agent: AgentRig, sticking: Recipe, server: str) -> None:
    """Known clients reach their servers from the first connection on, and through several reloads, even if all servers
    get other numbers."""
    agent.ensure()
    agent.give_sessions(as_message({"::ffff:127.0.0.1": server}))
    agent.push(sticking.at(1))
    for version in range(2, 6):
        assert fetch(sticking.port)[1] == server
        turned = sticking.members if version % 2 else sticking.members[::-1]
        assert agent.push(sticking.but(marker=f"version-{version}", members=turned).at(version)).method == "reload"
    agent.wait_until_drained()
    assert fetch(sticking.port)[1] == server
    assert clients_of(agent) == {"::ffff:127.0.0.1": server}


def test_many_clients_are_handed_over(agent: AgentRig, sticking: Recipe) -> None:
    """Thousands of clients, none of which has come again meanwhile, are handed over through two reloads in a row."""
    agent.ensure()
    agent.push(sticking.at(1))
    agent.give_sessions(as_message(make_clients("beta")))
    for version in (2, 3):
        assert agent.push(sticking.but(marker=f"version-{version}").at(version)).method == "reload"
    assert clients_of(agent) == make_clients("beta")


def test_a_restarted_process_uses_its_own_table(agent: AgentRig, sticking: Recipe) -> None:
    """The maps that a process starts with are gone when it is started again, because their entries may have expired
    long ago."""
    agent.ensure()
    agent.give_sessions(as_message({"::ffff:127.0.0.1": "beta"}))
    agent.push(sticking.at(1))
    home = agent.directory / "amphorae" / "amphora-1"
    assert [path.read_text() for path in home.rglob("*.map")] == [""]
    assert not (home / "sessions.json").exists()


def test_sessions_corrupted_by_a_power_cut_are_ignored(agent: AgentRig, sticking: Recipe) -> None:
    """The amphora serves, and knows no clients."""
    agent.ensure()
    (agent.directory / "amphorae" / "amphora-1" / "sessions.json").write_text('{"servers": [')
    assert agent.sessions() == Sessions()
    agent.push(sticking.at(1))
    assert clients_of(agent) == {}


def test_an_agent_that_dies_while_haproxy_is_paused_leaves_nobody_waiting(agent: AgentRig, sticking: Recipe) -> None:
    """If the agent is killed while both processes are paused, the next agent has the first configuration serve, and
    clients reach the same servers."""
    agent.ensure()
    agent.give_sessions(as_message({"::ffff:127.0.0.1": "beta", **make_clients("alpha")}))
    agent.push(sticking.at(1))
    agent.end()
    agent.start(stop_at="paused")
    with pytest.raises(Exception, match=r"disconnected|reset|EOF"):
        agent.try_push(sticking.but(marker="second").at(2))
    agent.wait()
    agent.start()
    assert fetch(sticking.port)[1:] == ("beta", "first")
    agent.wait_until_drained()
    assert clients_of(agent) == {"::ffff:127.0.0.1": "beta", **make_clients("alpha")}


def test_a_former_process_that_does_not_answer_does_not_stop_the_push(agent: AgentRig, sticking: Recipe) -> None:
    """The sessions of the former process are lost, but the new configuration serves."""
    agent.ensure()
    agent.push(sticking.at(1))
    former = agent.haproxy_pid()
    [stats] = (agent.directory / "amphorae" / "amphora-1").glob("gen-*/haproxy.sock")
    stats.unlink()
    assert agent.push(sticking.but(marker="second").at(2)).method == "reload"
    assert fetch(sticking.port)[2] == "second"
    agent.wait_until_drained()
    assert not is_alive(former)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("servers[0].clients[0]", "10.0.0.1\nshutdown"),
        ("servers[0].clients[0]", "10.0.0.1;x"),
        ("servers[0].server", "alpha beta"),
        ("servers[0].backend", "pool;x"),
        ("servers[0].pool_id", "../pool"),
    ],
)
def test_invalid_clients_are_refused(plain_agent: AgentRig, field: str, value: str) -> None:
    """Nothing reaches the runtime API that it could mistake for a command."""
    plain_agent.ensure()
    group: dict[str, object] = {"backend": "pool", "pool_id": "id-of-pool", "server": "alpha", "clients": ["10.0.0.1"]}
    name = field.partition(".")[2].partition("[")[0]
    group[name] = [value] if name == "clients" else value
    answer = plain_agent.request("PUT", "/v1/amphorae/amphora-1/sessions", {"servers": [group]})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_too_many_clients_are_refused(plain_agent: AgentRig) -> None:
    """At most as many clients are accepted as a table holds."""
    plain_agent.ensure()
    clients = tuple(f"::{number:x}" for number in range(Sessions.MOST_CLIENTS + 1))
    plain_agent.give_sessions(Sessions((ServerClients("pool", "id-of-pool", "alpha", clients[1:]),)))
    too_many = Sessions((ServerClients("pool", "id-of-pool", "alpha", clients),))
    answer = plain_agent.request("PUT", "/v1/amphorae/amphora-1/sessions", too_many.to_dict())
    assert (answer.status_code, answer.json()["field"]) == (400, "servers")


def test_many_clients_of_long_names_keep_their_connections(agent: AgentRig, recipe: Recipe) -> None:
    """The lines that tell HAProxy of clients are short enough for it, even with a shared backend's name of 73
    characters and cookie keys of 40."""
    name = f"{uuid4()}:{uuid4()}"
    by_cookie = recipe.but(
        extra=(
            "stick-table type string len 40 size 100k expire 1800s",
            f"tcp-request content set-var(txn.server) req.cook(session),sha1,hex,map({name}.map)",
            "acl known var(txn.server) -m found",
            "use-server '%[var(txn.server)]' if known",
            "stick match req.cook(session),sha1,hex",
        )
    )
    keys = [sha1(str(number).encode(), usedforsecurity=False).hexdigest().upper() for number in range(1_000)]
    sessions = dict.fromkeys(keys, "beta")
    agent.ensure()
    agent.give_sessions(Sessions.of({Table(name, "id-of-pool"): sessions}))
    agent.push(renamed(by_cookie.at(1), name))
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(HTTPConnection("127.0.0.1", recipe.port, timeout=PATIENCE))) for _ in range(6)
        ]

        def ask(number: int) -> str:
            connections[number].request("GET", "/", headers={"Cookie": f"session={number}"})
            return connections[number].getresponse().read().decode()

        assert {ask(number) for number in range(6)} == {"beta"}
        agent.push(renamed(by_cookie.but(marker="second").at(2), name))
        assert {ask(number) for number in range(6)} == {"beta"}
    assert clients_of(agent) == sessions


def renamed(bundle: Bundle, name: str) -> Bundle:
    """The bundle with another name for its backend."""
    haproxy = haproxy_of(bundle)
    return with_haproxy(
        bundle,
        configuration=haproxy.configuration.replace("backend pool\n", f"backend {name}\n"),
        backends=(replace(haproxy.backends[0], name=name),),
        servers=tuple(replace(server, backend=name) for server in haproxy.servers),
    )


def test_a_load_balancer_of_many_listeners_is_paused(agent: AgentRig, sticking: Recipe) -> None:
    """A load balancer is paused although it has more frontends than HAProxy could read the names of in one line."""
    bundle = sticking.at(1)
    names = [str(uuid4()) for _ in range(400)]
    more = "".join(f"frontend {name}\n    mode http\n    timeout client 20s\n" for name in names)
    frontends = (*haproxy_of(bundle).frontends, *(Frontend(name, name) for name in names))
    agent.ensure()
    agent.give_sessions(as_message({"::ffff:127.0.0.1": "beta"}))
    for version in (1, 2):
        text = f"{text_of(bundle)}{more}" + "    maxconn 9\n" * (version - 1)
        agent.push(with_haproxy(replace(bundle, version=version), configuration=text, frontends=frontends))
        assert fetch(sticking.port)[1] == "beta"


def test_a_renamed_backend_knows_the_clients_of_its_pool(agent: AgentRig, sticking: Recipe) -> None:
    """Sessions are handed over to a backend with another name: the bundles' pool ids identify the pool."""
    agent.ensure()
    agent.give_sessions(as_message({"::ffff:127.0.0.1": "beta"}))
    agent.push(sticking.at(1))
    other = sticking.but(extra=tuple(line.replace("pool.map", "other.map") for line in STICKING))
    assert agent.push(renamed(other.at(2), "other")).method == "reload"
    assert clients_of(agent) == {"::ffff:127.0.0.1": "beta"}
    assert {fetch(sticking.port)[1] for _ in range(4)} == {"beta"}
