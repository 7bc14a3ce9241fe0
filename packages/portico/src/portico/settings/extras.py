"""Which extra of the distribution a setting needs. What no extra has is always installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portico.errors import MissingExtra


@contextmanager
def needs_extra(extra: str, setting: str) -> Iterator[None]:
    """Around the import of what an extra installs.

    Args:
        extra: its name in ``pyproject.toml``.
        setting: the setting that made it necessary.

    Raises:
        MissingExtra: a module other than Portico's own was not found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "portico":
            raise
        raise MissingExtra(setting, extra, error.name) from error
