"""What is installed comes from a registry that everybody can reach."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def test_the_lock_names_only_the_public_registry() -> None:
    """A lock file made behind a mirror could only be installed there, and would show the mirror's name to everyone."""
    text = (_ROOT / "uv.lock").read_text()
    packages = tomllib.loads(text)["package"]

    sources = {package["source"].get("registry") or package["source"]["editable"] for package in packages}
    ours = {"packages/portico", "packages/portico-agent", "packages/portico-wire"}
    assert sources == {"https://pypi.org/simple", *ours}
    assert set(re.findall(r"\w+://[^/\"]+", text)) == {"https://pypi.org", "https://files.pythonhosted.org"}
    assert "path = " not in text
