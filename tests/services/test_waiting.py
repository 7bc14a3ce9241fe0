"""Waiting returns the awaited value, or fails with what was awaited and what was seen instead; and no test sleeps
without a reason."""

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
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the patience by a tenth of a second."""
    monkeypatch.setattr(waiting, "PATIENCE", 0.1)


def test_the_awaited_value_is_returned() -> None:
    """Waiting ends with the first true value and returns it, in coroutines, too."""
    looks = iter(["", "", "here"])
    assert wait_until(lambda: next(looks), "it is there", pause=0) == "here"
    numbers = iter([0, 0, 7])
    assert asyncio.run(wait_until_async(lambda: next(numbers), "it is there", pause=0)) == 7
    values = iter(["DOWN", "DOWN", "UP"])
    wait_until_equal(lambda: next(values), "UP", "the status", pause=0)


@pytest.mark.usefixtures("short_patience")
def test_waiting_in_vain_reports_what_was_awaited_and_seen() -> None:
    """The message contains what was awaited and the last value that was seen."""
    with pytest.raises(AssertionError, match=r"in vain until the list is full; last seen: \[\]"):
        wait_until(list, "the list is full")
    with pytest.raises(AssertionError, match=r"in vain until it is so$"):
        wait_until(lambda: False, lambda: "it is so")
    with pytest.raises(AssertionError, match=r"in vain until the status: 'UP', not 'DOWN'$"):
        wait_until_equal(lambda: "DOWN", "UP", "the status")
    with pytest.raises(AssertionError, match="in vain until it comes; last seen: None"):
        asyncio.run(wait_until_async(lambda: None, "it comes"))


def test_an_error_ends_the_waiting() -> None:
    """An error in the awaited function fails the test immediately."""
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0, "it is there")


def test_no_test_sleeps_without_a_reason() -> None:
    """Each call of ``sleep`` has a comment, on its line or above it, that explains why nothing can be awaited
    instead."""
    unexplained = [
        f"{path.relative_to(_TESTS)}:{line}"
        for path in sorted(_TESTS.rglob("*.py"))
        if path != Path(waiting.__file__)
        for line in _find_sleeps(path)
    ]
    assert unexplained == []


def _find_sleeps(path: Path) -> Iterator[int]:
    """Lines that sleep without a comment on the same line or above."""
    text = path.read_text()
    lines = ["", *text.splitlines()]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            here, above = lines[node.lineno], lines[node.lineno - 1]
            if "  # " not in here and not above.lstrip().startswith("#"):
                yield node.lineno
