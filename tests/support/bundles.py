"""Bundles in tests: what HAProxy is to run of them, and the same with changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict, Unpack

from portico_wire import Backend, Bundle, Frontend, Haproxy, Programs, Server


class HaproxyChanges(TypedDict, total=False):
    """Fields of ``Haproxy``."""

    configuration: str
    frontends: tuple[Frontend, ...]
    backends: tuple[Backend, ...]
    servers: tuple[Server, ...]


def haproxy_of(bundle: Bundle) -> Haproxy:
    """What HAProxy is to run; of an empty bundle a configuration without a line."""
    return bundle.programs.haproxy or Haproxy("", (), (), ())


def text_of(bundle: Bundle) -> str:
    """The configuration; "" where nothing is served."""
    return haproxy_of(bundle).configuration


def with_haproxy(bundle: Bundle, **changes: Unpack[HaproxyChanges]) -> Bundle:
    """The bundle with changes of what HAProxy is to run."""
    return replace(bundle, programs=Programs(replace(haproxy_of(bundle), **changes)))
