"""Whom commands trust with their data, and who can read it."""

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
"""A user that no system has."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def of_a_stranger(tmp_path: Path) -> Path:
    """A data directory as somebody else would lay it out for others to use, with an authority of his."""
    directory = tmp_path / "portico"
    LocalCertificateAuthority(directory / "certificates")
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, STRANGER, STRANGER)
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def refusal(*words: str | Path) -> str:
    """The one line that a command ends with which does not begin."""
    done = subprocess.run([*PORTICO, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    return line


@needs_root
def test_a_data_directory_that_somebody_else_made_is_refused(of_a_stranger: Path) -> None:
    """Nothing is started; the one line names the directory, its owner and what to do. The library, and status, refuse
    it as well."""
    for words in (["up", "--port", "0"], ["status"]):
        (of_a_stranger / "portico.db").touch()
        line = refusal(*words, "--data-dir", of_a_stranger)
        assert f"{of_a_stranger} belongs to user {STRANGER}" in line
        assert "choose another path" in line
    with pytest.raises(Untrusted):
        open_embedded(of_a_stranger)
    assert not find_processes(of_a_stranger)
    assert not (of_a_stranger / "up.lock").exists()


@pytest.mark.parametrize("place", [".", "certificates", "agent", "certificates/ca.key", "portico.db"])
def test_a_data_directory_that_others_can_write_is_refused(tmp_path: Path, place: str) -> None:
    """Itself, or one of those in it; and what is in there."""
    LocalCertificateAuthority(tmp_path / "certificates")
    (tmp_path / "agent").mkdir()
    (tmp_path / "portico.db").touch()
    (tmp_path / place).chmod(0o777)
    line = refusal("up", "--data-dir", tmp_path, "--port", "0")
    assert f"{tmp_path / place} can be written by others (mode 0777)" in line
    with pytest.raises(Untrusted):
        open_embedded(tmp_path)
    assert not find_processes(tmp_path)


def test_certificates_are_made_in_no_directory_that_others_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is an authority taken from there."""
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    certificates.chmod(0o777)
    monkeypatch.setenv("PORTICO_AMPHORA__CERTIFICATES", str(certificates))
    refused = run("certificates")
    assert (refused.exit_code, "can be written by others" in refused.stderr) == (1, True)
    assert not list(certificates.iterdir())


def test_nobody_else_can_read_what_portico_up_writes(tmp_path: Path) -> None:
    """Whatever umask it is started with: database, certificates, clouds.yaml, logs and the agent's files are its user's
    alone."""
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
    """The directory, as a user makes one, and the log that the shell opens for him."""
    directory.mkdir(mode=0o755)
    (directory / "up.log").touch(mode=0o600)
    return directory


def test_what_commands_write_nobody_else_can_read(tmp_path: Path) -> None:
    """A database that a command makes, in whatever directory, is its user's alone."""
    environment = os.environ | {"PORTICO_DATABASE__URL": f"sqlite:///{tmp_path / 'portico.db'}"}
    command = ["sh", "-c", 'umask 0; exec "$@"', "sh", *PORTICO, "db", "upgrade"]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    assert (tmp_path / "portico.db").stat().st_mode & 0o777 == 0o600
