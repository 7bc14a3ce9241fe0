"""``portico``: its commands, what they print and how they exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from portico import Requests, Settings
from portico.bootstrap.worker import build_worker
from portico.store.sql.database import Database
from tests.support.commands import NOOP_DRIVERS, PORTICO, PORTICO_CODE, run
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings for a SQLite database that does not exist yet, and no-op drivers."""
    path = tmp_path / "portico.toml"
    path.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/portico.db"\n[worker]\npoll_seconds = 0.1\n{NOOP_DRIVERS}'
    )
    return path


@pytest.fixture
def upgraded(config: Path) -> Path:
    """The same, with the database's tables."""
    assert run("db", "upgrade", "--config", config).exit_code == 0
    return config


def test_commands_that_need_a_schema_name_the_command_that_creates_it(config: Path) -> None:
    """Without tables, worker and status exit with status 1 and name the command that creates them; afterwards they
    work."""
    for command in ("worker", "health-manager", "status"):
        refused = run(command, "--config", config)
        assert (refused.exit_code, "portico db upgrade" in refused.stderr) == (1, True), refused

    assert "revision" in run("db", "upgrade", "--config", config).stdout
    shown = run("status", "--config", config)
    assert (shown.exit_code, shown.stderr) == (0, "")


def test_a_health_manager_needs_agents(upgraded: Path) -> None:
    """No-op amphorae live in the memory of another process: the command reports this and exits with status 1."""
    refused = run("health-manager", "--config", upgraded)
    assert (refused.exit_code, "amphora.driver" in refused.stderr) == (1, True), refused


@pytest.mark.parametrize("command", ["worker", "health-manager"])
def test_commands_that_call_agents_need_certificates(tmp_path: Path, command: str) -> None:
    """The error names the missing file and the command that creates it; the command does not claim to run."""
    config = tmp_path / "portico.toml"
    certificates = tmp_path / "certificates"
    url = f"sqlite:///{tmp_path}/portico.db"
    config.write_text(f'[database]\nurl = "{url}"\n[amphora]\ncertificates = "{certificates}"\n')
    assert run("db", "upgrade", "--config", config).exit_code == 0

    refused = run(command, "--config", config)
    assert (refused.exit_code, "runs" in refused.stderr) == (1, False)
    assert f"{certificates}/ca.pem: No such file or directory; portico certificates creates" in refused.stderr

    assert run("certificates", "--config", config).exit_code == 0
    (certificates / "controller.key").write_text("nothing")
    assert f"{certificates}/controller.key" in run(command, "--config", config).stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("[worker]\nthread = 3\n", "worker.thread"), ("[worker]\nthreads = 0\n", "worker.threads"), ("[worker", "TOML")],
    ids=["unknown", "out of range", "not TOML"],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """An unknown or invalid setting ends the command with a line that names it."""
    path = tmp_path / "portico.toml"
    path.write_text(text)
    refused = run("db", "upgrade", "--config", path)
    assert refused.exit_code == 1
    assert complaint.lower() in refused.stderr.lower() or "expected" in refused.stderr.lower()
    assert len(refused.stderr.splitlines()) == 1


def test_commands_show_their_database(config: Path) -> None:
    """Commands show the database's URL without the password and with the full path, even in errors."""
    which = f"sqlite:///{config.parent}/portico.db"
    for words in (["status"], ["limit", "failovers", "3"], ["worker"], ["api"]):
        refused = run(*words, "--config", config)
        assert (refused.exit_code, f"{which} is without tables" in refused.stderr) == (1, True), refused.stderr
    assert not (config.parent / "portico.db").exists()

    assert f"{which}, at revision" in run("db", "upgrade", "--config", config).stdout
    assert f"Database: {which}\n" in run("status", "--config", config).stdout
    assert f"in {which}" in run("limit", "failovers", "3", "--config", config).stdout

    config.write_text(config.read_text().replace(which, "postgresql+psycopg://u:s3cret@127.0.0.1:1/portico"))
    for words in (["status"], ["db", "upgrade"], ["worker"]):
        refused = run(*words, "--config", config)
        assert "postgresql+psycopg://u:***@127.0.0.1:1/portico: " in refused.stderr
        assert "s3cret" not in refused.output


def test_status_does_not_wrap_lines(upgraded: Path) -> None:
    """Even in the narrowest terminal, an id, a name and an address are not split over lines."""
    settings = Settings.read(upgraded)
    worker = build_worker(settings)
    name = "a very long name with [brackets] " * 5
    services = worker.services
    requests = Requests(services.database, settings.validation, services.notifier, network=services.network)
    accepted = requests.create("load_balancer", name=name)
    worker.close()
    worker.services.database.close()

    shown = run("status", "--config", upgraded, env={"COLUMNS": "40", "TERM": "xterm"}).stdout
    assert [line for line in shown.splitlines() if accepted.object_id in line and name.strip() in line]
    assert [line for line in shown.splitlines() if accepted.object_id in line and "QUEUED" in line]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_worker_runs_operations_until_it_is_stopped(upgraded: Path, processes: int) -> None:
    """``portico worker`` runs what another process queues; SIGTERM ends it and its processes, with status 0."""
    settings = Settings.read(upgraded)
    database = Database(settings.database)
    worker = build_worker(settings)
    requests = Requests(database, settings.validation, worker.services.notifier, network=worker.services.network)
    command = [*PORTICO, "worker", "--config", str(upgraded), "--processes", str(processes)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            accepted = requests.create("load_balancer", name="web")
            assert _await_end(requests, accepted.operation_id) == "SUCCEEDED"
            shown = run("status", "--config", upgraded)
            assert f"{accepted.object_id}" in shown.stdout
            assert "SUCCEEDED" in shown.stdout
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    worker.close()
    worker.services.database.close()
    database.close()


def _await_end(requests: Requests, operation_id: str) -> str:
    def state_at_the_end() -> str:
        outcome = requests.outcome(operation_id)
        return outcome.state if outcome is not None and outcome.finished else ""

    return wait_until(state_at_the_end, f"operation {operation_id} ends")


def test_status_accepts_the_directory_of_an_embedded_portico(tmp_path: Path) -> None:
    """``--directory`` is where ``open_embedded`` keeps its data; a directory without it is refused."""
    refused = run("status", "--directory", tmp_path)
    assert (refused.exit_code, "there is no Portico in" in refused.stderr) == (1, True)


def test_the_version_is_the_installed_version() -> None:
    """``portico --version`` prints the version, for bug reports and scripts."""
    assert run("--version").stdout == f"portico {version('portico')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    """The completion that ``portico --install-completion`` writes for a shell runs the program, which knows its
    commands."""
    words = {"bash": {"COMP_WORDS": "portico sta", "COMP_CWORD": "1"}}.get(
        shell, {"_TYPER_COMPLETE_ARGS": "portico sta"}
    )
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    asked = {"_PORTICO_COMPLETE": f"complete_{shell}", **words, **action}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'portico'; {PORTICO_CODE}"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "status" in done.stdout, done.stderr


def test_the_agent_is_run_with_its_own_options() -> None:
    """``portico agent`` executes the agent's program: errors and exit status are the agent's."""
    command = [*PORTICO, "agent", "--directory", "/nonexistent"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (refused.returncode, "portico-agent: error" in refused.stderr) == (2, True)
