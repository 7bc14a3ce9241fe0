"""Bodies of requests of the greatest length that the API accepts."""

from __future__ import annotations

from portico.settings import Settings

LONGEST = Settings().api.max_body_bytes


def fill(before: bytes, one: bytes, after: bytes) -> bytes:
    """A body of the greatest length, with ``one`` in a list as many times as there is room for."""
    count = (LONGEST - len(before) - len(after)) // (len(one) + 1)
    body = before + b",".join([one] * count) + after
    return body + b" " * (LONGEST - len(body))
