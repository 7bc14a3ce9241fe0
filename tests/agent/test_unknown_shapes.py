"""Which added servers HAProxy must check before it is told to add them."""

from __future__ import annotations

import pytest

from portico_agent.programs.haproxy.runtime_changes import adds_unknown_shape
from tests.agent.bundles import Member, Recipe
from tests.agent.rig import AgentRig
from tests.support.bundles import haproxy_of

CHECKED = "check inter 200 fall 2 rise 1"
ALPHA, RESTING = Member("alpha", 9001, options=CHECKED), Member("resting", 9002, options="backup", state="maint")
BEFORE = haproxy_of(Recipe(8080, (ALPHA, RESTING)).at(1))


@pytest.mark.parametrize(
    "member",
    [
        Member("gamma", 9003, weight=7, options=CHECKED),
        Member("gamma", 9003, options=CHECKED, state="maint"),
        Member("gamma", 9003, options="backup"),
    ],
)
def test_another_server_of_a_known_shape_is_known(member: Member) -> None:
    """The wire checks name, address, weight and state; HAProxy has already read the rest of the line."""
    assert not adds_unknown_shape(BEFORE, haproxy_of(Recipe(8080, (ALPHA, RESTING, member)).at(2)))


@pytest.mark.parametrize("options", ["", "check inter 200 fall 2", f"{CHECKED} backup", "no-such-word"])
def test_a_line_unlike_all_others_is_unknown(options: str) -> None:
    """A line that has one word more, less or different is unknown."""
    after = Recipe(8080, (ALPHA, RESTING, Member("gamma", 9003, options=options))).at(2)
    assert adds_unknown_shape(BEFORE, haproxy_of(after))


def test_cookies_follow_the_names() -> None:
    """The value of a server's cookie must be its name: another member's cookie is unknown."""
    before = haproxy_of(Recipe(8080, (Member("alpha", 9001, options="cookie alpha"),)).at(1))
    known = Member("gamma", 9003, options="cookie gamma")
    unknown = Member("gamma", 9003, options="cookie alpha")
    alpha = Member("alpha", 9001, options="cookie alpha")
    assert not adds_unknown_shape(before, haproxy_of(Recipe(8080, (alpha, known)).at(2)))
    assert adds_unknown_shape(before, haproxy_of(Recipe(8080, (alpha, unknown)).at(2)))


def test_nothing_is_unknown_if_nothing_is_added() -> None:
    """Servers that stay or leave were checked when they were added."""
    assert not adds_unknown_shape(BEFORE, haproxy_of(Recipe(8080, (RESTING,)).at(2)))


def test_a_line_that_haproxy_would_refuse_is_refused(agent: AgentRig, recipe: Recipe) -> None:
    """A new line that HAProxy cannot parse changes nothing, and the running process, which could crash, is not told of
    it. A known line is added without a reload."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid, first = agent.haproxy_pid(), recipe.members[0]
    bad = Member("gamma", first.port, options="track no/such")
    assert agent.try_push(recipe.but(members=(*recipe.members, bad)).at(2)).status_code == 422
    assert (agent.haproxy_pid(), agent.state().restarts) == (pid, 0)
    good = Member("gamma", first.port, options=first.options)
    assert agent.push(recipe.but(members=(*recipe.members, good)).at(3)).method == "runtime"
