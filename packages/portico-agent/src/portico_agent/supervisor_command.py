"""``portico-supervisor``: the supervisor as a separate service beside the agent; and the command that starts a
supervisor.

On a host where the agent and HAProxy run as different users, some process must be able to start HAProxy as its own
user. That is this program and not the agent, because the agent reads from the network. It starts HAProxy through
``setpriv`` of util-linux: as that user, without any capability or other group, and without a way to gain one.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from portico_agent.inherited_signals import reset_signals
from portico_files import make_private_directory

PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[2])
from portico_agent.supervisor.control import main
main(sys.argv[1], sys.argv[3])
"""
"""Run without site-packages and the user's settings (-I -S): the supervisor needs only the standard library."""

NEEDED = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
"""The capabilities needed to run HAProxy as another user, with their numbers."""

TRY_SECONDS = 10


class CannotStart(Exception):
    """The supervisor cannot start; the message is for the person who started it."""


@dataclass(frozen=True, slots=True)
class HAProxyUser:
    """The user that HAProxy runs as."""

    uid: int
    gid: int


def supervisor_command(directory: Path, **options: object) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of a supervisor for this directory. ``options``: see
    ``supervisor.control.main``."""
    source = str(Path(__file__).resolve().parent.parent)
    environment = {name: os.environ[name] for name in ("PORTICOTEST_RUN",) if name in os.environ}
    return [sys.executable, "-I", "-S", "-c", PROGRAM, str(directory), source, json.dumps(options)], environment


def main() -> None:
    """Read the command line and become the supervisor. It runs until SIGTERM, which ends every HAProxy too, or SIGINT,
    which leaves them running. Exits with status 1 and one line on stderr if it cannot start."""
    os.umask(0o077)
    reset_signals()
    parser = argparse.ArgumentParser(prog="portico-supervisor", description="Runs HAProxy for the agent of this host.")
    parser.add_argument("--directory", type=Path, required=True, help="the agent's directory")
    parser.add_argument(
        "--haproxy-user",
        type=_read_user,
        metavar="NAME or UID:GID",
        help="the user that HAProxy runs as (default: the supervisor's own user)",
    )
    given = parser.parse_args()
    directory: Path = given.directory.absolute()
    try:
        make_private_directory(directory, given.haproxy_user.gid if given.haproxy_user else None)
        become = _prepare_to_become(given.haproxy_user, directory) if given.haproxy_user else {}
    except (CannotStart, OSError) as error:
        sys.exit(f"portico-supervisor: {error}")
    command, environment = supervisor_command(directory, stays=True, **become)
    os.execve(command[0], command, environment)  # noqa: S606 - no shell wanted


def _read_user(text: str) -> HAProxyUser:
    uid, colon, gid = text.partition(":")
    if colon and uid.isdecimal() and gid.isdecimal():
        user = HAProxyUser(int(uid), int(gid))
    else:
        try:
            entry = pwd.getpwnam(text)
        except KeyError as error:
            raise argparse.ArgumentTypeError(f"there is no user {text}") from error
        user = HAProxyUser(entry.pw_uid, entry.pw_gid)
    if user.uid in (0, os.geteuid()):
        raise argparse.ArgumentTypeError(f"{text} must be neither root nor the supervisor's own user")
    return user


def _prepare_to_become(user: HAProxyUser, directory: Path) -> dict[str, object]:
    """The supervisor's options for running HAProxy as another user, after trying them. Raises CannotStart."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CannotStart("--haproxy-user needs the program setpriv, which is not on PATH (Debian: util-linux)")
    if missing := [name for name, number in NEEDED.items() if not _capabilities() >> number & 1]:
        raise CannotStart(f"--haproxy-user needs {', '.join(missing)} (systemd: AmbientCapabilities=)")
    become = [setpriv, f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    become += ["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"]
    try:
        tried = subprocess.run(
            # HAProxy looks up the path of the directory that it is started in.
            [*become, "test", "-x", directory],
            capture_output=True,
            text=True,
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotStart(f"{setpriv} cannot be run: {error}") from error
    if tried.returncode != 0:
        reason = tried.stderr.strip() or f"that user cannot reach {directory}: a parent directory is closed to others"
        raise CannotStart(f"HAProxy cannot run as user {user.uid}: {reason}")
    return {"uid": user.uid, "become": become}


def _capabilities() -> int:
    """The capabilities that the supervisor will have, as a bit mask. For an ordinary user, only ambient ones survive
    the execution of another program."""
    name = "CapEff" if os.geteuid() == 0 else "CapAmb"
    [found] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(found.split()[1], 16)


if __name__ == "__main__":
    main()
