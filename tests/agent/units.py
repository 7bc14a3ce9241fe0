"""Agent and supervisor as their units start them: each with its user, its group and its capabilities, and no others."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h11

_ROOT = Path(__file__).resolve().parents[2]
_UNITS = _ROOT / "deploy" / "systemd"
_BIN = Path(sys.executable).parent

USERS = {"portico": 54300, "portico-agent": 54301, "portico-haproxy": 54302}
"""Numbers that no system has. Each user's group has the same."""


@dataclass(frozen=True)
class Unit:
    """A file of ``deploy/systemd``."""

    name: str

    def setting(self, name: str) -> str:
        """What it says, in the last of the lines that say it; nothing where none does."""
        found = re.findall(rf"^{name}=(.*)$", (_UNITS / self.name).read_text(), re.MULTILINE)
        return str(found[-1]) if found else ""

    def programs(self, name: str = "ExecStart") -> list[list[str]]:
        """The commands that it runs, as words, without the marks before them; users in them are numbers."""
        lines = re.findall(rf"^{name}=[-+@:!|]*(.+)$", (_UNITS / self.name).read_text(), re.MULTILINE)
        return [[_with_numbers(word).replace("$$", "$") for word in shlex.split(line)] for line in lines]

    def credentials(self) -> list[str]:
        """What makes a command run as systemd would, where this process is root."""
        user = USERS[self.setting("User")]
        capabilities = self.setting("AmbientCapabilities").lower().replace("cap_", "+").split()
        bounding = self.setting("CapabilityBoundingSet").lower().replace("cap_", "+").split()
        assert self.setting("NoNewPrivileges") == "yes"
        return [
            *("setpriv", f"--reuid={user}", f"--regid={USERS[self.setting('Group') or self.setting('User')]}"),
            *("--clear-groups", "--no-new-privs", "--inh-caps=" + ",".join(["-all", *capabilities])),
            *("--ambient-caps=" + ",".join(["-all", *capabilities]), "--bounding-set=" + ",".join(["-all", *bounding])),
        ]


def _with_numbers(word: str) -> str:
    for name, number in USERS.items():
        # As a whole: they are parts of the names of programs and directories, too.
        word = re.sub(rf"(?<![\w/-]){name}(?![\w.-])", str(number), word)
    return word


def find_python() -> str | None:
    """A Python that other users can run with what the agent needs, for this one may be in its user's home."""
    user, version = USERS["portico-agent"], sys.version_info
    for candidate in (sys.executable, f"/usr/bin/python{version.major}.{version.minor}"):
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *python(candidate)]
        command += ["-c", "import h11, portico_agent.agent"]
        if subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def python(interpreter: str) -> list[str]:
    """An interpreter that finds Portico where this one does, and writes nothing there."""
    packages = Path(h11.__file__).parents[1]
    return ["env", f"PYTHONPATH={_ROOT / 'src'}:{packages}", "PYTHONDONTWRITEBYTECODE=1", interpreter]


def installed(words: list[str], interpreter: str) -> list[str]:
    """A unit's command with the program of this checkout for the installed one."""
    words = [f"{word}:{word}" if before == "--haproxy-user" else word for before, word in pairwise(["", *words])]
    return [*python(interpreter), str(_BIN / Path(words[0]).name), *words[1:]]


def why_not() -> str:
    """Why units cannot be tried here; nothing where they can."""
    if os.geteuid() != 0:
        return "only root can start programs as other users"
    if find_python() is None:
        return "no Python of this version can be run by other users here: this one is in its user's home"
    return ""
