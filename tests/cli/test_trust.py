"""What other users can do with the data of commands: neither provide it nor read it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from demo.portico_up import PorticoUp
from demo.remains import find_processes, kill_processes
from portico import open_embedded
from portico.drivers.local_ca import LocalCertificateAuthority
from portico_files import Untrusted
from tests.support.commands import PORTICO, run
from tests.support.remains import wait_until_ended
from tests.support.waiting import PATIENCE

STRANGER = 54321
"""A user that does not exist on any system."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def strangers_directory(tmp_path: Path) -> Path:
    """A data directory that another user prepared for others, with an authority of that user."""
    directory = tmp_path / "portico"
    LocalCertificateAuthority(directory / "certificates")
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, STRANGER, STRANGER)
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def refusal(*words: str | Path) -> str:
    """The single line of error output of a command that refuses to start."""
    done = subprocess.run([*PORTICO, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    return line


@needs_root
def test_a_data_directory_of_another_user_is_refused(strangers_directory: Path) -> None:
    """Nothing is started; the single line names the directory, its owner and what to do. The library and ``portico
    status`` refuse the directory as well."""
    for words in (["up", "--port", "0"], ["status"]):
        (strangers_directory / "portico.db").touch()
        line = refusal(*words, "--data-dir", strangers_directory)
        assert f"{strangers_directory} belongs to user {STRANGER}" in line
        assert "choose another path" in line
    with pytest.raises(Untrusted):
        open_embedded(strangers_directory)
    assert not find_processes(strangers_directory)
    assert not (strangers_directory / "up.lock").exists()


@pytest.mark.parametrize("place", [".", "certificates", "agent", "certificates/ca.key", "portico.db"])
def test_a_data_directory_that_others_can_write_is_refused(tmp_path: Path, place: str) -> None:
    """Neither the directory itself nor anything that is used in it may be writable by others."""
    LocalCertificateAuthority(tmp_path / "certificates")
    (tmp_path / "agent").mkdir()
    (tmp_path / "portico.db").touch()
    (tmp_path / place).chmod(0o777)
    line = refusal("up", "--data-dir", tmp_path, "--port", "0")
    assert f"{tmp_path / place} can be written by others (mode 0777)" in line
    with pytest.raises(Untrusted):
        open_embedded(tmp_path)
    assert not find_processes(tmp_path)


def test_certificates_are_not_created_in_a_directory_that_others_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is an existing authority read from there."""
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    certificates.chmod(0o777)
    monkeypatch.setenv("PORTICO_AMPHORA__CERTIFICATES", str(certificates))
    refused = run("certificates")
    assert (refused.exit_code, "can be written by others" in refused.stderr) == (1, True)
    assert not list(certificates.iterdir())


def test_other_users_cannot_read_what_portico_up_writes(tmp_path: Path) -> None:
    """Whatever the umask, database, certificates, clouds.yaml, logs and the agent's files are accessible only to their
    user."""
    directory = tmp_path / "data"
    before = os.umask(0)
    try:
        portico = PorticoUp(make(directory))
        try:
            paths = [directory, *(path for path in directory.rglob("*") if not path.is_symlink())]
            assert {"portico.db", "portico.db-wal", "clouds.yaml", "agent.log"} <= {path.name for path in paths}
            assert not [path for path in paths if path.stat().st_mode & 0o077]
            assert portico.stop() == 0
        finally:
            portico.stop()
            kill_processes(directory)
    finally:
        os.umask(before)
    wait_until_ended(directory)


def make(directory: Path) -> Path:
    """Create the directory as a user does, and the log that the user's shell opens."""
    directory.mkdir(mode=0o755)
    (directory / "up.log").touch(mode=0o600)
    return directory


def test_other_users_cannot_read_what_commands_write(tmp_path: Path) -> None:
    """A database that a command creates, in whatever directory, is accessible only to its user."""
    environment = os.environ | {"PORTICO_DATABASE__URL": f"sqlite:///{tmp_path / 'portico.db'}"}
    command = ["sh", "-c", 'umask 0; exec "$@"', "sh", *PORTICO, "db", "upgrade"]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    assert (tmp_path / "portico.db").stat().st_mode & 0o777 == 0o600
