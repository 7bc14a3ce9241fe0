"""The query of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a list. Names are those of the view or its aliases; unknown filters are ignored.

    Attributes:
        filters: field to the values that match, as text.
        tags: only objects that have all of these tags, which must all differ. The other three are what their names say.
        sort: fields and whether each is descending, most important first.
        limit: maximum number of objects; 0 means all.
        marker: the id after which the page begins, or before which it ends if ``reverse`` is set.
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
