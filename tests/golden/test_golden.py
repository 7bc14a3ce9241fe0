"""Each ``cases/*.golden`` is a tree, as JSON, and the configuration that it renders to, which the real daemons accept
without a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.render import render
from portico_wire import Bundle
from tests.render import haproxies
from tests.render.trees import AMPHORA_ID, tree_from
from tests.support.bundles import text_of

CASES = sorted(Path(__file__).parent.glob("cases/*.golden"))
_BETWEEN = "\n=== haproxy.cfg\n"


def _parts(case: Path) -> tuple[str, str]:
    """The tree and the configuration in a file."""
    tree, _, text = case.read_text().partition(_BETWEEN)
    return tree, text


def _render(case: Path) -> Bundle:
    return render(tree_from(json.loads(_parts(case)[0])), AMPHORA_ID, 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_tree_renders_to_its_golden_file(case: Path, request: pytest.FixtureRequest) -> None:
    """A tree gives exactly the configuration that was reviewed."""
    text = text_of(_render(case))
    if request.config.getoption("--regenerate"):
        case.write_text(f"{_parts(case)[0]}{_BETWEEN}{text}")
    assert text == _parts(case)[1]


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
