"""Only a few modules write statuses, so that every write is checked against the transition tables."""

from __future__ import annotations

import ast
from pathlib import Path

_SOURCES = Path(__file__).resolve().parents[2] / "packages/portico/src/portico"
_COLUMNS = {"provisioning_status", "status", "state"}
_WRITERS = {
    *("intake/acceptance/objects.py", "intake/acceptance/amphorae.py", "intake/acceptance/queueing.py"),
    "intake/member_batch.py",
    *("store/runs/starting.py", "store/runs/results.py", "store/runs/amphorae.py"),
}
# Operating statuses have no transition table. They follow from an applied change, an observation, or a new object.
_OPERATING_WRITERS = {
    "store/runs/results.py",
    "store/reads/observations.py",
    "intake/descriptions.py",
    "intake/member_batch.py",
}
# These modules show a row to its user with another status than the stored one, in a copy; they write no column.
_VIEWS = {"intake/catalog.py", "store/reads/status_tree.py"}
_WRITING_CALLS = {"values", "ordered_values"}


def _writes(tree: ast.AST, columns: set[str] = _COLUMNS) -> set[int]:
    """Lines that write a status column: ``values(status=...)``, ``{"status": ...}`` passed to it, ``row.status =``,
    ``setattr``."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _WRITING_CALLS:
            lines |= {node.lineno for keyword in node.keywords if keyword.arg in columns}
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            lines |= {
                node.lineno
                for target in targets
                if (isinstance(target, ast.Attribute) and target.attr in columns and not _is_own(target))
                or (isinstance(target, ast.Subscript) and _names_status(target.slice, columns))
            }
            if isinstance(node.value, ast.Dict):
                lines |= {node.lineno for key in node.value.keys if key is not None and _names_status(key, columns)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            lines |= {node.lineno for argument in node.args if _names_status(argument, columns)}
    return lines


def _names_status(node: ast.AST, columns: set[str]) -> bool:
    return isinstance(node, ast.Constant) and node.value in columns


def _is_own(target: ast.Attribute) -> bool:
    return isinstance(target.value, ast.Name) and target.value.id == "self"


def _found(columns: set[str] = _COLUMNS) -> dict[str, set[int]]:
    found = {}
    for path in sorted(
        path
        for folder in ("intake", "store", "tasks", "health")
        for path in (_SOURCES / folder).rglob("*.py")
        if "migrations" not in path.parts
    ):
        lines = _writes(ast.parse(path.read_text()), columns)
        if lines:
            found[str(path.relative_to(_SOURCES))] = lines
    return found


def test_few_modules_write_statuses() -> None:
    """Only the modules that use the transition tables write statuses."""
    assert set(_found()) - _VIEWS == _WRITERS
    for name in _VIEWS:
        assert "shown_status(" in (_SOURCES / name).read_text()


def test_few_modules_write_operating_statuses() -> None:
    """One module writes what amphorae report, another what follows from an applied change; a new object starts with a
    status."""
    assert set(_found({"operating_status"})) == _OPERATING_WRITERS


def test_the_writers_use_the_transition_tables() -> None:
    """Each of these modules uses the functions of the transition tables."""
    for name in _WRITERS:
        text = (_SOURCES / name).read_text()
        assert "sources(" in text or "check_transition(" in text, name


def test_the_search_finds_every_way_of_writing_a_status() -> None:
    """The search finds each way of writing a status."""
    for text in (
        "update(Row).values(status='X')",
        "row.provisioning_status = 'X'",
        "values = {'state': 'X'}",
        "values['status'] = 'X'",
        "setattr(row, 'status', 'X')",
    ):
        assert _writes(ast.parse(text)), text
    assert not _writes(ast.parse("self.state = 1; found = row.status; where(Row.status == 'X')"))
