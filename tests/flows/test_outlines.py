"""The story of every flow, in a file whose changes a reviewer sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from taskflow import engines

from portico.flows.dispatch import FLOWS, ChangeTogether, build_flow, flow_of
from portico.intake.acceptance import accept_spare
from portico.store.claims.leases import Claim
from portico.store.runs.snapshot import read_snapshot
from portico.tasks.work import Work
from tests.flows.cases import CASES, Case, Requested
from tests.support.examples import CHANGES
from tests.support.world import World

pytestmark = pytest.mark.database("sqlite")
_OUTLINES = Path(__file__).parent / "outlines"
_MODULES = {flow.__name__: flow.__module__.rpartition(".")[2] for flow in (*FLOWS.values(), ChangeTogether)}
"""By flow: the module that defines it."""


def outline(world: World, claim: Claim) -> str:
    """The tasks and sub-flows that the operations queued under a lease would run."""
    snapshot = read_snapshot(world.database, claim.key)
    work = Work(world.worker.services, claim, snapshot, operations=snapshot.operations)
    engine = engines.load(build_flow(work))
    engine.compile()
    text: str = engine.compilation.hierarchy.pformat()
    return "\n".join(line.rstrip() for line in text.replace(claim.key, "ID").splitlines()) + "\n"


def take_requested(world: World, requested: Requested) -> Claim:
    """Queue what is requested and take its lease."""
    if (requested.action, requested.kind) == ("create", "amphora"):
        claim = accept_spare(world.database, "test", 20_000).claim
        assert claim is not None
        return claim
    receipt = world.ask(requested.action, requested.kind, requested.subject_id, requested.changes)
    return world.take(receipt.lease_key)


def compare(name: str, text: str, *, regenerate: bool) -> None:
    """Compare an outline with the one recorded under its name, or record it. Each file has the outlines of one module
    of flows."""
    module = _MODULES[name.split(maxsplit=1)[0]]
    file = _OUTLINES / f"{module}.txt"
    known = read_outlines(file)
    if regenerate:
        known[name] = text
        file.write_text("\n".join(f"{each}\n\n{known[each]}" for each in sorted(known)))
    assert text == known.get(name)


def read_outlines(file: Path) -> dict[str, str]:
    """The outlines in a file, by case. A line with the name of its case precedes each outline."""
    text = file.read_text() if file.exists() else ""
    parts = re.split(r"^(\w[^\n]*)\n\n", text, flags=re.MULTILINE)[1:]
    return {name: f"{outline.rstrip()}\n" for name, outline in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Whether to write the files."""
    return bool(request.config.getoption("--regenerate-outlines"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_flow_has_the_reviewed_outline(case: Case, world: World, regenerate: bool) -> None:
    """A flow consists of exactly the tasks that its outline shows, in the same order."""
    compare(case.name, outline(world, take_requested(world, case.prepare(world))), regenerate=regenerate)


def test_simultaneous_changes_are_one_flow_with_one_push(world: World, regenerate: bool) -> None:
    """A new load balancer and everything requested with it are prepared, pushed and settled once."""
    ids = world.describe()
    for kind, subject_id in ids.items():
        world.ask("create", kind, subject_id)
        world.ask("update", kind, subject_id, CHANGES[kind])
    world.ask("delete", "member", ids["member"])
    text = outline(world, world.take(ids["load_balancer"]))

    assert text.count("PushConfiguration") == 1
    compare("ChangeTogether", text, regenerate=regenerate)


def test_a_failed_creation_is_built_by_its_failover(world: World, regenerate: bool) -> None:
    """The failover of a load balancer without amphorae builds it."""
    load_balancer_id = world.describe()["load_balancer"]
    world.ask("failover", "load_balancer", load_balancer_id)

    compare(
        "FailoverLoadBalancer without amphorae", outline(world, world.take(load_balancer_id)), regenerate=regenerate
    )


def test_every_flow_has_its_case() -> None:
    """Every flow has a case, and so an outline and tests of its failures."""
    assert {flow.__name__ for flow in FLOWS.values()} == {case.name.split()[0] for case in CASES}


def test_every_outline_has_its_case() -> None:
    """Every outline has a case: none is left over from a flow that is gone."""
    wanted = {case.name for case in CASES} | {"ChangeTogether", "FailoverLoadBalancer without amphorae"}
    files = list(_OUTLINES.glob("*.txt"))
    assert {file.stem for file in files} == set(_MODULES.values())
    assert sorted(name for file in files for name in read_outlines(file)) == sorted(wanted)


def test_an_operation_finds_its_flow(world: World) -> None:
    """An operation's kind and action select the flow of the same name."""
    ids = world.build()
    world.ask("update", "member", ids["member"], CHANGES["member"])
    [operation] = read_snapshot(world.database, ids["load_balancer"]).operations

    assert flow_of(operation).__name__ == "UpdateMember"
