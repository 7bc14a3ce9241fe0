"""What a command loads before it does anything: no more than it uses. ``scripts/bench startup`` says what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.waiting import PATIENCE

_ALL = ("alembic", "fastapi", "httpx", "keystoneauth1", "networkx", "oslo_messaging", "taskflow")
"""What takes a tenth of a second and more to import, each."""
_USES = {
    "api": {"fastapi"},
    "worker": {"httpx", "networkx", "taskflow"},
    "health_manager": {"httpx"},
    "status": set(),
    "limits": set(),
    "database": set(),
    "certificates": set(),
    "check": set(),
}


@pytest.mark.parametrize("command", _USES)
def test_a_command_loads_what_it_uses(command: str) -> None:
    """The API runs no flows, a health manager neither, and what looks at the database alone needs no web framework."""
    program = f"import sys, portico.cli.{command}; print(*[one for one in {_ALL!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)

    assert set(done.stdout.split()) <= _USES[command]
