"""Imports of packages that only an extra installs: a missing package becomes an error that names the extra. Packages
that are not in an extra are always installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portico.errors import MissingExtra


@contextmanager
def needs_extra(extra: str, setting: str) -> Iterator[None]:
    """Wrap the import of a module that an extra installs.

    Args:
        extra: its name in ``pyproject.toml``.
        setting: the setting that needs the module.

    Raises:
        MissingExtra: a module other than Portico's own was not found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "portico":
            raise
        raise MissingExtra(setting, extra, error.name) from error
