"""Which changes a running HAProxy can be told, and which server state a new process is given: the pure parts of a
push."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from portico_agent.amphora_files import AmphoraFiles
from portico_agent.programs.haproxy import HaproxyProgram
from portico_agent.programs.haproxy.runtime_changes import plan_runtime_changes
from portico_agent.programs.haproxy.server_state import COLUMNS, HEADER, carry_server_state
from portico_agent.programs.program import Change, Progress
from portico_agent.supervisor_client import RunningProcess, SupervisorClient
from portico_wire import Bundle
from tests.agent.bundles import Member, Recipe
from tests.support.bundles import haproxy_of

ALPHA, BETA = Member("alpha", 9001), Member("beta", 9002)
RECIPE = Recipe(8080, (ALPHA, BETA))
BEFORE = RECIPE.at(1)


def plan(after: Recipe, before: Bundle = BEFORE) -> list[str] | None:
    """The commands as text; None if only a new process will do."""
    wanted = after.at(2)
    change = Change(
        files=AmphoraFiles(Path("amphora-1")),
        generation=2,
        wanted=haproxy_of(wanted),
        sockets=wanted.sockets,
        former=haproxy_of(before),
        former_sockets=before.sockets,
        running=RunningProcess(1, 1, 0.0),
        progress=Progress(),
    )
    plan = HaproxyProgram(SupervisorClient(Path()), "haproxy", 1, None).plan(change)
    if plan.method == "reload":
        return None
    assert plan.method == ("runtime" if plan.steps else "unchanged")
    return [command.text for command in plan.steps]


def test_unchanged_bundle_needs_no_command() -> None:
    """A bundle that differs only in its version needs no command."""
    assert plan(RECIPE) == []


def test_order_of_servers_needs_no_command() -> None:
    """The same servers in another order need no command."""
    assert plan(RECIPE.but(members=(BETA, ALPHA))) == []


def test_each_change_has_its_command() -> None:
    """Address, weight and state each have a command; a server enters service only after its other changes."""
    changed = Member("beta", 9003, weight=7, state="maint")
    assert plan(RECIPE.but(members=(ALPHA, changed))) == [
        "set server pool/beta state maint",
        "set server pool/beta addr 127.0.0.1 port 9003",
        "set server pool/beta weight 7",
    ]
    back = plan(RECIPE, RECIPE.but(members=(ALPHA, changed)).at(1))
    assert back is not None
    assert back[-1] == "set server pool/beta state ready"


def test_removals_come_before_additions() -> None:
    """A server that leaves is removed first; one that is added gets its checks and then enters service."""
    gamma = Member("gamma", 9003, options="check")
    assert plan(RECIPE.but(members=(ALPHA, gamma))) == [
        "set server pool/beta state maint",
        "del server pool/beta",
        "add server pool/gamma 127.0.0.1:9003 weight 1 check",
        "enable health pool/gamma",
        "enable server pool/gamma",
    ]


def test_server_added_in_maintenance_stays_there() -> None:
    """A server that is added in maintenance is not enabled; the word "disabled", which the runtime API does not know,
    is left out."""
    gamma = Member("gamma", 9003, options="", state="maint")
    assert plan(RECIPE.but(members=(ALPHA, BETA, gamma))) == ["add server pool/gamma 127.0.0.1:9003 weight 1"]


@pytest.mark.parametrize(
    "after",
    [
        RECIPE.but(marker="other"),
        RECIPE.but(port=8081),
        RECIPE.but(balance="balance leastconn"),
        RECIPE.but(members=(ALPHA, replace(BETA, options="check inter 9s"))),
        RECIPE.but(members=(ALPHA, BETA, Member("gamma", 9003, options='check sni str("x")'))),
        RECIPE.but(members=(ALPHA, BETA, Member("gamma", 9003, options="check ; shutdown frontend listener"))),
        RECIPE.but(members=(ALPHA, BETA, Member("gamma", 9003, options="check \\; help"))),
        RECIPE.but(members=(ALPHA, BETA, Member("gamma", 9003, options="check $HOME"))),
    ],
)
def test_everything_else_needs_a_new_process(after: Recipe) -> None:
    """A change that the runtime API cannot make, or could misread as another command, needs a new process."""
    assert plan(after) is None


def test_pool_that_is_not_dynamic_needs_a_new_process() -> None:
    """If the algorithm does not permit it, servers are neither added nor removed at run time; weights still change."""
    fixed = RECIPE.but(is_dynamic=False)
    assert plan(fixed.but(members=(ALPHA,)), fixed.at(1)) is None
    assert plan(fixed.but(members=(ALPHA, BETA, Member("gamma", 9003))), fixed.at(1)) is None
    assert plan(fixed.but(members=(ALPHA, replace(BETA, weight=3))), fixed.at(1)) == ["set server pool/beta weight 3"]


def test_server_line_of_another_backend_needs_a_new_process() -> None:
    """If a line of the text looks like a server of the bundle but is in another backend, a new process is started to be
    safe."""
    haproxy = haproxy_of(BEFORE)
    line = haproxy.servers[1].line
    twice = replace(haproxy, configuration=f"{haproxy.configuration}backend other\n    {line}\n")
    assert plan_runtime_changes(twice, twice) is None


def dump(**values: str) -> str:
    """HAProxy's dump of server states, with beta in it."""
    columns = dict.fromkeys(COLUMNS, "0") | {
        "be_name": "pool",
        "srv_name": "beta",
        "srv_addr": "127.0.0.1",
        "srv_port": "9002",
        "srv_op_state": "0",
        "srv_uweight": "5",
        "srv_iweight": "1",
        "srv_check_state": "6",
    }
    return HEADER + " ".join((columns | values).values()) + "\n"


def carried(text: str, bundle: Bundle = BEFORE) -> dict[str, str]:
    """The state of beta that the new process is given."""
    lines = carry_server_state(text, haproxy_of(bundle)).removeprefix(HEADER).splitlines()
    return dict(zip(COLUMNS, lines[0].split(" "), strict=True)) if lines else {}


def test_health_is_carried_over_with_the_wanted_weight() -> None:
    """A server found dead stays dead; its weight comes from the configuration and not from a runtime change."""
    values = carried(dump())
    assert (values["srv_op_state"], values["srv_uweight"], values["srv_iweight"]) == ("0", "1", "1")


@pytest.mark.parametrize(
    ("text", "member"),
    [
        (dump(srv_admin_state="1"), BETA),
        (dump(srv_port="9999"), BETA),
        (dump(srv_addr="127.0.0.9"), BETA),
        (dump(srv_addr="-"), BETA),
        (dump(srv_check_state="0"), BETA),
        (dump(), replace(BETA, options="")),
        (dump(srv_check_state="0"), replace(BETA, options="")),
        (dump(srv_check_state="0"), replace(BETA, options="track other/beta")),
        (dump(), replace(BETA, state="maint")),
        (dump(srv_name="gone"), BETA),
        (dump().replace("1\n", "2\n", 1), BETA),
        ("", BETA),
        (HEADER + "pool beta\n", BETA),
    ],
)
def test_outdated_state_is_not_carried_over(text: str, member: Member) -> None:
    """If the server is in maintenance before or now, has another address or check, is gone or unreadable, the
    configuration decides."""
    assert carried(text, RECIPE.but(members=(ALPHA, member)).at(2)) == {}
