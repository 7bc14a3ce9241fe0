"""Waiting: it gives back what came, and fails with what was awaited and what was seen instead; no test sleeps without a
reason."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import waiting
from tests.support.waiting import wait_until, wait_until_async, wait_until_equal

_TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience for a moment only."""
    monkeypatch.setattr(waiting, "PATIENCE", 0.1)


def test_what_comes_is_given_back() -> None:
    """The first look that counts as true ends the waiting, in coroutines too."""
    looks = iter(["", "", "here"])
    assert wait_until(lambda: next(looks), "it is there", pause=0) == "here"
    numbers = iter([0, 0, 7])
    assert asyncio.run(wait_until_async(lambda: next(numbers), "it is there", pause=0)) == 7
    values = iter(["DOWN", "DOWN", "UP"])
    wait_until_equal(lambda: next(values), "UP", "the status", pause=0)


@pytest.mark.usefixtures("hurried")
def test_waiting_in_vain_says_what_for_and_what_was_seen() -> None:
    """The message has what was awaited, and the last thing that was seen."""
    with pytest.raises(AssertionError, match=r"in vain until the list is full; last seen: \[\]"):
        wait_until(list, "the list is full")
    with pytest.raises(AssertionError, match=r"in vain until it is so$"):
        wait_until(lambda: False, lambda: "it is so")
    with pytest.raises(AssertionError, match=r"in vain until the status: 'UP', not 'DOWN'$"):
        wait_until_equal(lambda: "DOWN", "UP", "the status")
    with pytest.raises(AssertionError, match="in vain until it comes; last seen: None"):
        asyncio.run(wait_until_async(lambda: None, "it comes"))


def test_what_a_look_raises_ends_the_waiting() -> None:
    """A look that fails is a failed test, at once."""
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0, "it is there")


def test_no_test_sleeps_without_a_reason() -> None:
    """Each call of ``sleep`` has a comment, on its line or above it: why nothing can be awaited instead."""
    unexplained = [
        f"{path.relative_to(_TESTS)}:{line}"
        for path in sorted(_TESTS.rglob("*.py"))
        if path != Path(waiting.__file__)
        for line in _find_sleeps(path)
    ]
    assert unexplained == []


def _find_sleeps(path: Path) -> Iterator[int]:
    """Lines that sleep, and neither have a comment nor stand below one."""
    text = path.read_text()
    lines = ["", *text.splitlines()]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            here, above = lines[node.lineno], lines[node.lineno - 1]
            if "  # " not in here and not above.lstrip().startswith("#"):
                yield node.lineno
