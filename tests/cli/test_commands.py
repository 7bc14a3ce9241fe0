"""``portico``: its commands, what they print and how they end."""

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
    """Settings for a SQLite database that is not there yet, and drivers that touch nothing."""
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


def test_commands_that_need_a_schema_say_how_to_get_it(config: Path) -> None:
    """Without tables, worker and status end with status 1 and name the command that makes them; after it, they work."""
    for command in ("worker", "health-manager", "status"):
        refused = run(command, "--config", config)
        assert (refused.exit_code, "portico db upgrade" in refused.stderr) == (1, True), refused

    assert "revision" in run("db", "upgrade", "--config", config).stdout
    shown = run("status", "--config", config)
    assert (shown.exit_code, shown.stderr) == (0, "")


def test_a_health_manager_needs_agents_to_ask(upgraded: Path) -> None:
    """No-op amphorae live in another process's memory: that is said, and the command ends with status 1."""
    refused = run("health-manager", "--config", upgraded)
    assert (refused.exit_code, "amphora.driver" in refused.stderr) == (1, True), refused


@pytest.mark.parametrize("command", ["worker", "health-manager"])
def test_what_talks_to_agents_does_not_start_without_certificates(tmp_path: Path, command: str) -> None:
    """The file that is missing is named, and what makes it; nothing says that it runs."""
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
    ids=["unknown", "out of range", "no TOML"],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """A configuration that says something unknown or wrong ends the command with a line that names it."""
    path = tmp_path / "portico.toml"
    path.write_text(text)
    refused = run("db", "upgrade", "--config", path)
    assert refused.exit_code == 1
    assert complaint.lower() in refused.stderr.lower() or "expected" in refused.stderr.lower()
    assert len(refused.stderr.splitlines()) == 1


def test_commands_say_which_database_they_are_about(config: Path) -> None:
    """Without its password, with the whole path: also where something is wrong with it."""
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


def test_status_folds_nothing(upgraded: Path) -> None:
    """In the narrowest terminal an id, a name and an address are in one piece, in one line."""
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
def test_a_worker_runs_what_was_asked_for_until_it_is_told_to_stop(upgraded: Path, processes: int) -> None:
    """What another process queues is done by ``portico worker``; SIGTERM ends it, and its processes, with status 0."""
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


def test_status_knows_the_directory_of_an_embedded_portico(tmp_path: Path) -> None:
    """``--directory`` is where ``open_embedded`` keeps its data; one without is refused."""
    refused = run("status", "--directory", tmp_path)
    assert (refused.exit_code, "there is no Portico in" in refused.stderr) == (1, True)


def test_the_version_is_the_installed_one() -> None:
    """``portico --version``, for bug reports and scripts."""
    assert run("--version").stdout == f"portico {version('portico')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    """What ``portico --install-completion`` writes for a shell asks the program, which knows its commands."""
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
    """``portico agent`` becomes the agent's program: its complaints, its exit status."""
    command = [*PORTICO, "agent", "--directory", "/nonexistent"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (refused.returncode, "portico-agent: error" in refused.stderr) == (2, True)
