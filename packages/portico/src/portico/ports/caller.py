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

    def shown(self, *, needs_token: bool) -> Caller:
        """The caller, without his token for whom it is none of his business."""
        return self if needs_token or self.token is None else Caller(self.project_id)


NOBODY = Caller()
"""A program that embeds Portico, and everything that Portico asks for by itself."""
