"""Who asks for something."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a driver looks something up: it sees what he may see, and no more.

    Attributes:
        project_id: the project that he acts in; None where he acts in none.
        token: what proves it to other services; None where callers have none (``noauth``, a program that embeds
            Portico). Never logged: ``repr`` hides it.
    """

    project_id: str | None = None
    token: str | None = field(default=None, repr=False)


NOBODY = Caller()
"""A program that embeds Portico, and everything that Portico asks for by itself."""
