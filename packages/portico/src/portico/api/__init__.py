"""The API: the Octavia v2 API over HTTP.

Belongs here: routes, reading requests and writing answers, faults, who the caller is and what he may do, the OpenAPI
document. Does not: SQL (``portico.store``), what objects may be (``portico.resources``,
``portico.intake.constraints``), running operations (``portico.worker``). I/O: HTTP; the database through the store.
"""

from portico.api.application import create_app

__all__ = ["create_app"]
