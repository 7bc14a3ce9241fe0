"""Suggestions for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """The end of an error message, like ``; did you mean 'load_balancer'?``; empty if no known name is similar. Case,
    spaces, hyphens and underscores are ignored."""
    spelled = {_bare(one): one for one in known}
    found = get_close_matches(_bare(name), spelled, n=1, cutoff=0.7) if isinstance(name, str) else []
    return f"; did you mean {str(spelled[found[0]])!r}?" if found else ""


def _bare(name: str) -> str:
    return name[:64].lower().replace("_", "").replace("-", "").replace(" ", "")
