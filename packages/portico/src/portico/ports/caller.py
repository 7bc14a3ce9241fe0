"""The caller: on whose behalf a driver acts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """The user or program on whose behalf a driver looks something up. The driver sees only what the caller may see.

    Attributes:
        project_id: the project that the caller acts in; None if they act in none.
        token: the token that proves this to other services; None if callers have none (``noauth``, a program that
            embeds Portico). Never logged: ``repr`` hides it.
    """

    project_id: str | None = None
    token: str | None = field(default=None, repr=False)

    def shown(self, *, needs_token: bool) -> Caller:
        """The caller, without their token unless ``needs_token``: only drivers that need the token see it."""
        return self if needs_token or self.token is None else Caller(self.project_id)


NOBODY = Caller()
"""The caller for a program that embeds Portico, and for everything that Portico does on its own."""
