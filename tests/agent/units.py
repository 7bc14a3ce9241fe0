"""Agent and supervisor as their units start them: each with its own user, group and capabilities, and no others."""

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
import pytest

_ROOT = Path(__file__).resolve().parents[2]
_UNITS = _ROOT / "deploy" / "systemd"
_BIN = Path(sys.executable).parent

USERS = {"portico": 54300, "portico-agent": 54301, "portico-haproxy": 54302}
"""User ids that are not used on any system. Each user's group has the same id."""


@dataclass(frozen=True)
class Unit:
    """A file of ``deploy/systemd``."""

    name: str

    def setting(self, name: str) -> str:
        """The setting's value, which is that of its last line; empty if the unit does not have it."""
        found = re.findall(rf"^{name}=(.*)$", (_UNITS / self.name).read_text(), re.MULTILINE)
        return str(found[-1]) if found else ""

    def programs(self, name: str = "ExecStart") -> list[list[str]]:
        """The commands that the unit runs, as words, without the special prefixes; user names are replaced by ids."""
        lines = re.findall(rf"^{name}=[-+@:!|]*(.+)$", (_UNITS / self.name).read_text(), re.MULTILINE)
        return [[_with_numbers(word).replace("$$", "$") for word in shlex.split(line)] for line in lines]

    def credentials(self) -> list[str]:
        """The words of a command that runs another one with the unit's credentials, when this process is root."""
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
        # Only whole words are replaced, because the names are also parts of the names of programs and directories.
        word = re.sub(rf"(?<![\w/-]){name}(?![\w.-])", str(number), word)
    return word


def find_python() -> str | None:
    """Find a Python that other users can run and that has what the agent needs; this one may be in its user's home."""
    user, version = USERS["portico-agent"], sys.version_info
    for candidate in (sys.executable, f"/usr/bin/python{version.major}.{version.minor}"):
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *python(candidate)]
        command += ["-c", "import h11, portico_agent.agent"]
        if subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def python(interpreter: str) -> list[str]:
    """Words that run an interpreter which finds Portico where this one does, and writes nothing there."""
    packages = Path(h11.__file__).parents[1]
    return ["env", f"PYTHONPATH={_ROOT / 'src'}:{packages}", "PYTHONDONTWRITEBYTECODE=1", interpreter]


def installed(words: list[str], interpreter: str) -> list[str]:
    """The unit's command, with this checkout's program in place of the installed one."""
    words = [f"{word}:{word}" if before == "--haproxy-user" else word for before, word in pairwise(["", *words])]
    return [*python(interpreter), str(_BIN / Path(words[0]).name), *words[1:]]


def _find_obstacle() -> str:
    """Why units cannot be run here; empty if they can."""
    if os.geteuid() != 0:
        return "only root can start programs as other users"
    if find_python() is None:
        return "no Python of this version can be run by other users here: this one is in its user's home"
    return ""


_OBSTACLE = _find_obstacle()
needs_root = pytest.mark.skipif(bool(_OBSTACLE), reason=_OBSTACLE or "it can")
"""Marks tests that start programs as other users."""
