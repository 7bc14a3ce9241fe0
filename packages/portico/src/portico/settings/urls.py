"""Checks of the URLs in settings. An error never repeats the URL, because it can contain a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

_KINDS = {
    "sqlite": "sqlite:///PATH",
    "postgresql+psycopg": "postgresql+psycopg://USER:PASSWORD@HOST/NAME",
    "mariadb+pymysql": "mariadb+pymysql://USER:PASSWORD@HOST/NAME",
}
_OTHER_NAMES = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mariadb+pymysql",
    "mariadb": "mariadb+pymysql",
}
_ENCODING = "in user and password, @ is %40, : is %3A, / is %2F, % is %25 (percent-encoding)"
_SERVER = re.compile(
    r"(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<host>\[[^\]/?]+\]|[^:/?]*)(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?"
)
"""Splits a URL as SQLAlchemy does (``sqlalchemy.engine.url``)."""


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The parts of a database server's URL; a part that the URL leaves out is empty. ``options`` is its query, in
    order."""

    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: str = ""
    database: str = ""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, url: str) -> Self:
        """Split a URL that has been checked (``check_database_url``)."""
        found = _SERVER.fullmatch(url.partition("://")[2])
        if found is None:
            raise ValueError("must be the URL of a database server")
        return cls(
            user=unquote(found["user"] or ""),
            password=unquote(found["password"] or ""),
            host=(found["host"] or "").strip("[]"),
            port=found["port"] or "",
            database=found["database"] or "",
            options=tuple(parse_qsl(found["options"] or "")),
        )


def check_database_url(url: str) -> str:
    """Check the URL of a database and return it unchanged. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _KINDS:
        raise ValueError(_name_kinds(scheme if separator else ""))
    if scheme == "sqlite":
        path = rest.removeprefix("/").partition("?")[0]
        if not rest.startswith("/") or not path or path == ":memory:":
            raise ValueError("must be sqlite:///PATH, with a file: three slashes, and a fourth if the path is absolute")
        return url
    _check_server(scheme, rest)
    return url


def _name_kinds(scheme: str) -> str:
    meant = _OTHER_NAMES.get(scheme.partition("+")[0])
    if meant:
        return f"must be {_KINDS[meant]}: {scheme}:// names a driver that is not used here"
    return f"must be {', '.join(list(_KINDS.values())[:-1])} or {_KINDS['mariadb+pymysql']}"


def _check_server(scheme: str, rest: str) -> None:
    found = _SERVER.fullmatch(rest)
    like = f"must be like {_KINDS[scheme]}"
    if found is None or not found["database"]:
        raise ValueError(f"{like}: NAME, the database, is missing")
    if "@" in found["host"] or re.search(r"[@/]", found["database"]):
        raise ValueError(f"{like}: there is an @ or a / too many; {_ENCODING}")
    for part in ("user", "password"):
        if re.search(r"%(?![0-9A-Fa-f]{2})", found[part] or ""):
            raise ValueError(f"{like}: the {part} has a % that encodes nothing; {_ENCODING}")
    if found["port"] is not None and not _is_port(found["port"]):
        raise ValueError(f"{like}: the port must be a number from 1 to 65535; {_ENCODING}")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


def check_agent_url(url: str) -> str:
    """Check the URL of an agent and return it unchanged. Raises ValueError."""
    rule = "must be like https://10.0.0.5:9443"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{rule}: {error}") from None
    if parts.scheme != "https":
        raise ValueError(f"{rule}: agents accept HTTPS only")
    if not parts.hostname or port is None:
        raise ValueError(f"{rule}: the {'port' if parts.hostname else 'host'} is missing")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{rule}: it must have a host and a port, and nothing else")
    return url


def check_web_url(url: str) -> str:
    """Check the URL of a web service and return it unchanged. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be like https://keystone.example:5000/v3")
    return url
