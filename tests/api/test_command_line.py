"""``openstack loadbalancer``, as installed from the registry: each of its commands, against a server on the
loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.api.open_keystone import PROJECT, open_keystone
from tests.api.service import SUBNET
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.database("sqlite")

_SHELL = """\
import contextlib, io, json, sys, time
from openstackclient.shell import OpenStackShell
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.05))  # --wait looks every few seconds
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = OpenStackShell().run(json.loads(line))
        except SystemExit as ended:  # an option that the command does not have
            status = ended.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""
"""Runs many commands in one process, because starting a process takes a second and a half."""


class Shell:
    """The command line. ``done`` names the commands that have run."""

    def __init__(self, auth_url: str, home: Path) -> None:
        account = {
            "OS_AUTH_URL": auth_url,
            "OS_USERNAME": "tester",
            "OS_PASSWORD": "secret",
            "OS_PROJECT_NAME": PROJECT,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
        }
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONWARNINGS": "ignore", **account}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SHELL], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        names = entry_points(group="openstack.load_balancer.v2").names
        self.commands = {name.removeprefix("loadbalancer_").replace("_", " ") for name in names}
        self.done: set[str] = set()

    def run(self, line: str) -> tuple[int, str, str]:
        """Run a command. Return its exit status, its output and its errors. A command that shows something prints
        JSON."""
        words = line.split()
        command = max((one for one in self.commands if line.startswith(f"{one} ") or line == one), key=len)
        self.done.add(command)
        verb = command.rpartition(" ")[2]
        formatted = command == "quota set" or (verb in ("create", "show", "list") and command != "status show")
        tail = ["-f", "json"] if formatted else []
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(["loadbalancer", *words, *tail]) + "\n")
        self._process.stdin.flush()
        status, out, err = json.loads(self._process.stdout.readline())
        return status, out, err

    def show(self, line: str) -> Any:
        """The output of a command that must succeed."""
        status, out, err = self.run(line)
        assert status == 0, (line, out, err)
        return json.loads(out) if out.strip() else None

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=PATIENCE)


@pytest.fixture
def shell(url: str, tmp_path: Path) -> Iterator[Shell]:
    """The command line, logged in."""
    with open_keystone(url) as auth_url:
        shell = Shell(auth_url, tmp_path)
        try:
            yield shell
        finally:
            shell.close()


_MADE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("flavorprofile create --name fp --provider amphora --flavor-data {}", {"name": "fp"}),
    ("flavor create --name f --flavorprofile fp --description d", {"name": "f", "enabled": True}),
    ("availabilityzoneprofile create --name zp --provider amphora --availability-zone-data {}", {"name": "zp"}),
    ("availabilityzone create --name z --availabilityzoneprofile zp --description d", {"name": "z"}),
    (f"create --wait --name web --vip-subnet-id {SUBNET} --flavor f --tag a", {"provisioning_status": "ACTIVE"}),
    ("listener create --wait --name l --protocol HTTP --protocol-port 80 web", {"provisioning_status": "ACTIVE"}),
    ("pool create --wait --name p --protocol HTTP --lb-algorithm ROUND_ROBIN --listener l", {"name": "p"}),
    ("member create --wait --name m --address 192.0.2.1 --protocol-port 80 p", {"weight": 1}),
    ("healthmonitor create --wait --name h --type HTTP --delay 5 --timeout 3 --max-retries 2 p", {"delay": 5}),
    ("l7policy create --wait --name po --action REJECT l", {"position": 1}),
    ("l7rule create --wait --type PATH --compare-type STARTS_WITH --value /x po", {"value": "/x"}),
)
_CHANGED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("flavorprofile set --name fp2 fp", "flavorprofile show fp2", {"name": "fp2"}),
    ("flavor set --disable f", "flavor show f", {"enabled": False}),
    ("flavor unset --description f", "flavor show f", {"description": ""}),
    ("availabilityzoneprofile set --name zp2 zp", "availabilityzoneprofile show zp2", {"name": "zp2"}),
    ("availabilityzone set --disable z", "availabilityzone show z", {"enabled": False}),
    ("availabilityzone unset --description z", "availabilityzone show z", {"description": ""}),
    ("set --wait --name web2 --tag b --description d web", "show web2", {"name": "web2", "description": "d"}),
    ("unset --wait --description web2", "show web2", {"description": ""}),
    ("listener set --wait --connection-limit 7 l", "listener show l", {"connection_limit": 7}),
    ("listener unset --wait --connection-limit l", "listener show l", {"connection_limit": -1}),
    ("pool set --wait --session-persistence type=SOURCE_IP p", "pool show p", {"lb_algorithm": "ROUND_ROBIN"}),
    ("pool unset --wait --session-persistence p", "pool show p", {"session_persistence": None}),
    ("member set --wait --weight 7 p m", "member show p m", {"weight": 7}),
    ("member unset --wait --weight p m", "member show p m", {"weight": 1}),
    ("healthmonitor set --wait --http-method HEAD h", "healthmonitor show h", {"http_method": "HEAD"}),
    ("healthmonitor unset --wait --http-method h", "healthmonitor show h", {"http_method": "GET"}),
    (
        "l7policy set --wait --action REDIRECT_TO_URL --redirect-url http://a.example/ po",
        "l7policy show po",
        {"action": "REDIRECT_TO_URL", "redirect_http_code": 302},
    ),
    ("l7policy unset --wait --description po", "l7policy show po", {"description": ""}),
    ("l7rule set --wait --invert po {rule}", "l7rule show po {rule}", {"invert": True}),
    ("l7rule unset --wait --invert po {rule}", "l7rule show po {rule}", {"invert": False}),
    (f"quota set --loadbalancer 5 {PROJECT}", f"quota show {PROJECT}", {"load_balancer": 5}),
    (f"quota unset --loadbalancer {PROJECT}", f"quota show {PROJECT}", {"load_balancer": -1}),
)
_LISTED = {
    "list --name web": 1,
    "list --tags a": 1,
    "list --not-tags a": 0,
    "listener list --loadbalancer web": 1,
    "pool list --loadbalancer web": 1,
    "member list p": 1,
    "healthmonitor list": 1,
    "l7policy list --listener l": 1,
    "l7rule list po": 1,
    "amphora list --loadbalancer web": 1,
    "flavor list": 1,
    "flavorprofile list": 1,
    "availabilityzone list": 1,
    "availabilityzoneprofile list": 1,
    "provider list": 2,
    "provider capability list amphora": 2,
    "quota list": 0,
}
_SHOWN = ("status show web", "stats show web", "listener stats show l", "quota defaults show", "amphora show {amphora}")
_DELETED = (
    f"quota reset {PROJECT}",
    "l7rule delete --wait po {rule}",
    "l7policy delete --wait po",
    "healthmonitor delete --wait h",
    "member delete --wait p m",
    "pool delete --wait p",
    "listener delete --wait l",
    "delete --wait --cascade web2",
    "flavor delete f",
    "flavorprofile delete fp2",
    "availabilityzone delete z",
    "availabilityzoneprofile delete zp2",
)


def test_every_command_works(shell: Shell) -> None:
    """Everything can be created, listed, shown, changed, reset, failed over and deleted, with ``--wait``; no command of
    the program is left out."""
    for line, expected in _MADE:
        found = shell.show(line)
        assert {name: found[name] for name in expected} == expected, (line, found)
    for line, count in _LISTED.items():
        assert len(shell.show(line)) == count, line
    [rule], [amphora] = shell.show("l7rule list po"), shell.show("amphora list")
    ids = {"rule": rule["id"], "amphora": amphora["id"]}
    for line in _SHOWN:
        assert shell.show(line.format(**ids)), line
    for line, shown, expected in _CHANGED:
        shell.show(line.format(**ids))
        found = shell.show(shown.format(**ids))
        assert {name: found[name] for name in expected} == expected, (line, found)

    assert len(shell.show("list --tags a,b")) == 1

    status, _, complaint = shell.run(f"amphora delete {amphora['id']}")
    assert (status, "serves load balancer" in complaint) == (1, True)
    shell.run(f"amphora stats show {amphora['id']}")  # 404 until it has reported any
    shell.show(f"amphora configure --wait {amphora['id']}")
    shell.show("failover --wait web2")
    [replacement] = shell.show("amphora list")
    shell.show(f"amphora failover --wait {replacement['id']}")

    for line in _DELETED:
        shell.show(line.format(**ids))
    assert shell.show("list") == []
    assert shell.commands - shell.done == set()


def test_errors_reach_the_terminal_unchanged(shell: Shell) -> None:
    """The terminal shows the service's error with field, rule and status."""
    for line, words in (
        ("create --name x --vip-subnet-id not-there", "not-there"),
        (f"create --name x --vip-subnet-id {SUBNET} --vip-address 300.1.1.1", "vip_address"),
        (f"create --name x --vip-subnet-id {SUBNET} --provider nobody", "provider. Value: 'nobody'"),
        ("show nobody", "nobody"),
    ):
        status, _, complaint = shell.run(line)
        assert (status, words in complaint) == (1, True), (line, complaint)
