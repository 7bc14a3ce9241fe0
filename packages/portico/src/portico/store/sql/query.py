"""What a list is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is asked for. Names are those of the view or its aliases; unknown filters are ignored.

    Attributes:
        filters: field to the values that it may have, as text.
        tags: objects that have all of these, which all differ; the other three as their names say.
        sort: field and whether it descends, most important first.
        limit: objects at most; 0 means all.
        marker: the id after which the page begins; before which it ends, with ``reverse``.
    """

    filters: Mapping[str, Sequence[str]]
    tags: Sequence[str] = ()
    tags_any: Sequence[str] = ()
    not_tags: Sequence[str] = ()
    not_tags_any: Sequence[str] = ()
    sort: Sequence[tuple[str, bool]] = ()
    limit: int = 0
    marker: str | None = None
    reverse: bool = False
