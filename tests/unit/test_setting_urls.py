"""URLs in settings: which are accepted, and the errors of the others."""

from __future__ import annotations

import pytest

from portico.errors import InvalidSettings
from portico.settings import DatabaseSettings, LocalComputeSettings


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("foo", "sqlite:///PATH"),
        ("", "sqlite:///PATH"),
        ("oracle://u:s3cret@db/portico", "sqlite:///PATH"),
        ("postgres://u:s3cret@db/portico", "postgresql+psycopg://USER"),
        ("postgresql://u:s3cret@db/portico", "postgresql+psycopg://USER"),
        ("postgresql+asyncpg://u:s3cret@db/portico", "postgresql+psycopg://USER"),
        ("mysql://u:s3cret@db/portico", "mariadb+pymysql://USER"),
        ("mysql+pymysql://u:s3cret@db/portico", "mariadb+pymysql://USER"),
        ("mariadb://u:s3cret@db/portico", "mariadb+pymysql://USER"),
        ("sqlite://", "with a file"),
        ("sqlite:///", "with a file"),
        ("sqlite:///:memory:", "with a file"),
        ("sqlite://portico.db", "three slashes"),
        ("postgresql+psycopg://u:s3cret@db", "NAME, the database, is missing"),
        ("postgresql+psycopg://u:s3@cret@db/portico", "@ is %40"),
        ("postgresql+psycopg://u:s3@cr/et@db/portico", "/ is %2F"),
        ("postgresql+psycopg://u:s3@cr:et@db/portico", "percent-encoding"),
        ("postgresql+psycopg://u:100%s3cret@db/portico", "% that encodes nothing"),
        ("mariadb+pymysql://u:s3cret@db:port/portico", "number from 1 to 65535"),
        ("mariadb+pymysql://u:s3cret@db:70000/portico", "number from 1 to 65535"),
    ],
)
def test_an_invalid_database_url_is_refused_without_showing_it(url: str, message: str) -> None:
    """The error shows the form of a valid URL, and percent-encoding if that is wrong, but never the password."""
    with pytest.raises(InvalidSettings) as refusal:
        DatabaseSettings(url=url)

    assert message in str(refusal.value)
    assert "s3" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///portico.db",
        "sqlite:////var/lib/portico/portico.db",
        "postgresql+psycopg://portico:p%40ss%2Fw%3Ard%25@127.0.0.1:5432/portico?sslmode=require",
        "postgresql+psycopg://portico@/portico?host=/run/postgresql&port=5432",
        "postgresql+psycopg://u:a:b/c?d@[fd00::1]:5432/portico",
        "mariadb+pymysql://root@localhost/portico?unix_socket=/run/mysqld/mysqld.sock&charset=utf8mb4",
    ],
)
def test_a_valid_database_url_is_kept_unchanged(url: str) -> None:
    """Encoded passwords, IPv4 and IPv6 addresses, sockets and driver options are kept unchanged."""
    assert DatabaseSettings(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.5:9443",
        "http://10.0.0.5:9443",
        "https://10.0.0.5",
        "https://:9443",
        "https://a:9443/v1",
        "",
        "https://a:x",
    ],
)
def test_an_agent_url_has_a_scheme_a_host_and_a_port(url: str) -> None:
    """A URL at which no agent can listen is refused when it is read, not when the first load balancer is built."""
    with pytest.raises(InvalidSettings, match="must be like https://10"):
        LocalComputeSettings(agent_url=url)
    assert LocalComputeSettings(agent_url="https://[fd00::5]:9443").agent_url == "https://[fd00::5]:9443"
