"""``portico check``: checks that everything that the configuration names exists and works."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer

from portico.cli.configuration import read_settings
from portico.errors import DriverUnavailable, InvalidInput, MissingExtra, PorticoError
from portico.settings import Settings
from portico.settings.extras import needs_extra

SOON = timedelta(days=7)
"""A certificate that expires within this time is a fault: its renewal, due when a third of its lifetime is left, did
not happen."""
LONGEST_SECONDS = 30.0
"""How long each part may take to answer."""


class _NotUsed(Exception):
    """The configuration does not use this part; the message is the reason."""


def check_everything(config: Path | None) -> None:
    """Try each part, print a line for each, and exit with status 1 if one is at fault. Nothing is changed."""
    settings = read_settings(config)
    typer.echo(f"ok    configuration  {config or 'the environment'}")
    results = [_report(part, check, settings) for part, check in _CHECKS.items()]
    faults = results.count(False)
    if faults:
        typer.echo(f"Error: {faults} of these {'is' if faults == 1 else 'are'} at fault.", err=True)
        raise typer.Exit(1)


def _report(part: str, check: Callable[[Settings], str], settings: Settings) -> bool:
    """Check one part and print the result. Returns False if the part is at fault."""
    try:
        mark, found = "ok", _in_time(lambda: check(settings))
    except _NotUsed as reason:
        mark, found = "-", str(reason)
    except PorticoError as error:
        mark, found = "FAULT", " ".join(str(error).split())
    typer.echo(f"{mark:5} {part:13}  {found}")
    return mark != "FAULT"


def _in_time(work: Callable[[], str]) -> str:
    """Return what ``work`` returns, or raise what it raises. Work that times out goes on until this process ends."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.result(LONGEST_SECONDS)
    except TimeoutError:
        raise DriverUnavailable(f"no answer in {LONGEST_SECONDS:g} s") from None


def _check_database(settings: Settings) -> str:
    from portico.store.sql.schema import require_newest  # noqa: PLC0415 - each part loads what it needs

    return require_newest(settings.database.url)


def _check_certificates(settings: Settings) -> str:
    from portico.drivers.registry import examine_certificates  # noqa: PLC0415

    found = examine_certificates(settings)
    if found is None:
        raise _NotUsed("amphora.driver uses no agents")
    directory, end = found
    if end < datetime.now(UTC) + SOON:
        raise DriverUnavailable(f"those in {directory} end at {end:%Y-%m-%d %H:%M} UTC: run portico certificates")
    return f"{directory}, until {end:%Y-%m-%d}"


def _check_agent(settings: Settings) -> str:
    from portico.drivers.registry import build_amphora_drivers  # noqa: PLC0415

    drivers = build_amphora_drivers(settings)
    try:
        if not drivers.compute.traits.has_agents:
            raise _NotUsed("compute.driver uses no agents")
        return drivers.compute.probe()
    finally:
        drivers.close()


def _check_network(settings: Settings) -> str:
    from portico.drivers.registry import build_network  # noqa: PLC0415

    return f"{settings.network.driver}, {build_network(settings).probe()}"


def _check_broker(settings: Settings) -> str:
    from portico.drivers.registry import try_broker, try_listening  # noqa: PLC0415

    if not settings.messaging.url.get_secret_value():
        raise _NotUsed(f"messaging.url is empty: {_describe_waking(lambda: try_listening(settings))}")
    try_broker(settings)
    return f"accepts messages for {settings.messaging.topic}"


def _describe_waking(listen: Callable[[], bool | None]) -> str:
    """How workers learn of operations without a broker. If the database should wake them but cannot, that is not a
    fault: they poll, and what is wrong with the database has a line of its own."""
    polling = "workers find their work by polling"
    try:
        is_direct = listen()
    except (DriverUnavailable, InvalidInput, MissingExtra) as error:
        return f"{polling}; {error}"
    if is_direct is None:
        return polling
    if is_direct:
        return "workers are woken by the database"
    return f"{polling}, unless the pooler in front of the database keeps a connection for each client (session mode)"


def _check_api(settings: Settings) -> str:
    from portico.cli.listening import open_listening  # noqa: PLC0415

    api = settings.api
    try:
        open_listening(api.host, 0).close()
    except (OSError, UnicodeError) as error:
        raise DriverUnavailable(f"api.host: cannot listen on {api.host}: {error}") from error
    return f"{api.host}, port {api.port}"


def _check_policy(settings: Settings) -> str:
    file = settings.api.policy_file
    if file is None and settings.api.auth == "noauth":
        raise _NotUsed("api.auth is noauth: every caller may do everything")
    from portico.api.policy import load_octavia_policy  # noqa: PLC0415

    load_octavia_policy(file)
    return str(file or "the defaults")


def _check_keystone(settings: Settings) -> str:
    if settings.keystone is None or settings.api.auth != "keystone":
        raise _NotUsed("api.auth is noauth: every caller is an administrator")
    with needs_extra("keystone", "api.auth"):
        from portico.api.keystone import try_service_user  # noqa: PLC0415

    roles = try_service_user(settings.keystone)
    return f"{settings.keystone.auth_url}: {settings.keystone.username} has the roles {', '.join(sorted(roles))}"


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "database": _check_database,
    "certificates": _check_certificates,
    "agent": _check_agent,
    "network": _check_network,
    "broker": _check_broker,
    "API": _check_api,
    "policy": _check_policy,
    "Keystone": _check_keystone,
}
