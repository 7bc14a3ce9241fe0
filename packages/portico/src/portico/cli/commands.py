"""The commands of ``portico``, with their options. Each command imports what it needs when it is run, so that none
waits for imports that only another one uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings as a TOML file; the environment wins.", exists=True, dir_okay=False),
]
HaproxyOption = Annotated[
    Path | None,
    typer.Option(help="HAProxy to use; default: the system's, else the packaged one.", exists=True, dir_okay=False),
]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # usage errors are a plain line that begins with "Error:", like all other errors
)
database = typer.Typer(help="The database's schema.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(database, name="db")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - no other command needs it

        typer.echo(f"portico {version('portico')}")
        raise typer.Exit


@app.callback()
def _portico(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Portico: load balancers as a service."""


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="Where data is kept; default: the user's directory.")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the API.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 for any free one.", show_default="9876")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave load balancers running on exit.")] = False,
    haproxy: HaproxyOption = None,
) -> None:
    """Run all of Portico on this machine until SIGTERM or Ctrl-C: API, worker, health manager and agent, with
    SQLite."""
    from portico.cli.data_directory import default_directory  # noqa: PLC0415
    from portico.cli.up import serve_all  # noqa: PLC0415

    serve_all(data_dir or default_directory(), host, port, keep=keep, haproxy=haproxy)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def agent(context: typer.Context) -> NoReturn:
    """Run this host's agent, which is a separate program. Accepts the options of portico-agent."""
    _become("portico_agent", context.args)


@app.command()
def worker(
    config: ConfigOption = None,
    processes: Annotated[int, typer.Option(min=1, help="Each runs worker.threads operations concurrently.")] = 1,
) -> None:
    """Run queued operations until SIGTERM or Ctrl-C. Operations that are running then are finished, or handed over to
    other workers."""
    from portico.cli.worker import run_workers  # noqa: PLC0415

    run_workers(config, processes)


@app.command("health-manager")
def health_manager(config: ConfigOption = None) -> None:
    """Watch the operating statuses and counters of load balancers until SIGTERM or Ctrl-C. If several health managers
    run, one of them is active."""
    from portico.cli.health_manager import run_health_manager  # noqa: PLC0415

    run_health_manager(config)


@app.command()
def status(
    config: ConfigOption = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            "--data-dir",
            help="Data directory of portico up or open_embedded; default: the configured database if there is one, "
            "else the user's directory.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows of each kind.")] = 20,
) -> None:
    """Show load balancers, operations, leases and slots."""
    from portico.cli.status import show_status  # noqa: PLC0415

    show_status(config, directory, limit)


@app.command()
def api(config: ConfigOption = None) -> None:
    """Serve the API alone; workers that use the same database run its operations."""
    from portico.cli.api import serve_api  # noqa: PLC0415

    serve_api(config)


@app.command()
def limit(
    name: Annotated[str, typer.Argument(help="operations, amphora_builds or failovers.")],
    capacity: Annotated[int, typer.Argument(min=0, help="Most that run at once over all workers; 0 for no limit.")],
    config: ConfigOption = None,
) -> None:
    """Change how many operations, builds or failovers run concurrently over all workers, without restarting any."""
    from portico.cli.limits import change_limit  # noqa: PLC0415

    change_limit(config, name, capacity)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Try everything that the configuration names: database, certificates, agent, broker, Keystone. Changes nothing.
    Exits with status 1 if something is at fault."""
    from portico.cli.check import check_everything  # noqa: PLC0415

    check_everything(config)


@app.command()
def certificates(
    config: ConfigOption = None,
    days: Annotated[int, typer.Option(min=1, help="Lifetime; renewed when a third of it is left.")] = 90,
) -> None:
    """Make or renew certificates for workers and agents, in the directory that the configuration names."""
    from portico.cli.certificates import ensure_certificates  # noqa: PLC0415

    ensure_certificates(config, days)


@database.callback()
def _database() -> None:
    """The database's schema."""


@database.command()
def upgrade(config: ConfigOption = None) -> None:
    """Upgrade the database's schema to this version of Portico. Running it again changes nothing."""
    from portico.cli.database import upgrade_database  # noqa: PLC0415

    upgrade_database(config)


def _become(module: str, arguments: list[str]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - no shell is needed
