"""Each ``cases/*.golden`` is a tree, as JSON, and the configuration rendered from it, which the real daemons accept
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
    """The tree renders to exactly the configuration that was reviewed."""
    text = text_of(_render(case))
    if request.config.getoption("--regenerate"):
        case.write_text(f"{_parts(case)[0]}{_BETWEEN}{text}")
    assert text == _parts(case)[1]


@pytest.mark.parametrize("haproxy", haproxies.find_haproxies().values(), ids=haproxies.find_haproxies().keys())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_haproxy_accepts_the_golden_file(case: Path, haproxy: str, tmp_path: Path) -> None:
    """The real daemon accepts the configuration without a warning."""
    assert haproxies.check(haproxy, _render(case), tmp_path) == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_wire_accepts_the_bundle(case: Path) -> None:
    """The wire's strict decoding accepts the rendered bundle: names, addresses, and each server's line as it is in the
    text."""
    bundle = _render(case)
    assert Bundle.from_dict(json.loads(json.dumps(bundle.to_dict()))) == bundle
