"""The API: the Octavia v2 API over HTTP.

Belongs here: routes, reading requests and writing responses, faults, who the caller is and what they may do, the
OpenAPI document. Does not: SQL (``portico.store``), the rules for objects (``portico.resources``,
``portico.intake.constraints``), running operations (``portico.worker``). I/O: HTTP; the database through the store.
"""

from portico.api.application import create_app

__all__ = ["create_app"]
