"""Each tree in ``cases/*.json`` renders to the ``.cfg`` beside it, which the real daemons accept without a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.render import render
from portico_wire import Bundle
from tests.render import haproxies
from tests.render.trees import AMPHORA_ID, tree_from
from tests.support.bundles import text_of

CASES = sorted(Path(__file__).parent.glob("cases/*.json"))


def _render(case: Path) -> Bundle:
    return render(tree_from(json.loads(case.read_text())), AMPHORA_ID, 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_tree_renders_to_its_golden_file(case: Path, request: pytest.FixtureRequest) -> None:
    """A tree gives exactly the configuration that was reviewed."""
    golden = case.with_suffix(".cfg")
    text = text_of(_render(case))
    if request.config.getoption("--regenerate"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("haproxy", haproxies.find_haproxies().values(), ids=haproxies.find_haproxies().keys())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_haproxy_accepts_the_golden_file(case: Path, haproxy: str, tmp_path: Path) -> None:
    """The real daemon takes the configuration, and has nothing to warn of."""
    assert haproxies.check(haproxy, _render(case), tmp_path) == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_agent_would_read_the_bundle(case: Path) -> None:
    """The wire's strict decoding takes what was rendered: names, addresses, and each server's line as the text has
    it."""
    bundle = _render(case)
    assert Bundle.from_dict(json.loads(json.dumps(bundle.to_dict()))) == bundle


def test_every_golden_file_has_its_tree() -> None:
    """No golden file is left over from a case that is gone."""
    assert {case.stem for case in CASES} == {golden.stem for golden in Path(__file__).parent.glob("cases/*.cfg")}
