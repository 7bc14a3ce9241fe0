"""Portico's tests. A package, so that no other `tests` on the path can be taken for it."""
