"""The text that ``portico up`` prints when it has started: how to reach it, and how to try it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import typer

from portico.ports.network import SUBNET_ID

CLOUD = "portico"
"""The name of the entry, as in ``openstack --os-cloud portico``."""

_CLOUDS = """\
clouds:
  {cloud}:
    auth_type: none
    endpoint: {url}
    load_balancer_endpoint_override: {url}
"""

_NOTICE = """\
Portico is at {url}, its pages at {url}/docs, its data in {directory}.

To try it, run this in another terminal. It starts a server, creates a load balancer in front of it, and sends a
request, with retries until the load balancer is there.

  python3 -m http.server 9001 --bind 127.0.0.1 --directory {trial} &
  curl -sS --fail-with-body -H 'Content-Type: application/json' -d @{trial}/loadbalancer.json \\
    {url}/v2/lbaas/loadbalancers && echo
  curl -fsS --retry 20 --retry-delay 1 --retry-all-errors http://{vip}:8080/

An entry for the clouds.yaml of clients (also in {clouds_file}):

{clouds}
{openstack}"""

_OPENSTACK = """\
  export OS_CLIENT_CONFIG_FILE={clouds_file} OS_CLOUD={cloud}
  {command} loadbalancer list
"""
_NO_OPENSTACK = """\
The openstack command is not installed here. The Python packages python-openstackclient and python-octaviaclient
provide it.
"""


def write_clouds(directory: Path, url: str) -> Path:
    """Write a clouds.yaml with the entry into the directory. Returns its path."""
    path = directory / "clouds.yaml"
    draft = path.with_suffix(".draft")
    draft.write_text(_CLOUDS.format(cloud=CLOUD, url=url))
    return draft.replace(path)


def write_trial(directory: Path, vip: str) -> Path:
    """Write a first example into a directory of its own: a page to serve, and the request body for a load balancer in
    front of it. Returns the directory."""
    trial = directory / "try"
    trial.mkdir(exist_ok=True)
    (trial / "index.html").write_text("hello from behind the load balancer\n")
    members = [{"address": "127.0.0.1", "protocol_port": 9001}]
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    listeners = [{"protocol": "HTTP", "protocol_port": 8080, "default_pool": pool}]
    first = {"name": "first", "vip_subnet_id": SUBNET_ID, "vip_address": vip, "listeners": listeners}
    (trial / "loadbalancer.json").write_text(json.dumps({"loadbalancer": first}, indent=2) + "\n")
    return trial


def welcome(directory: Path, url: str, running: int, *, keep: bool, vip: str) -> None:
    """Print everything that a new user needs. ``running``: load balancers that exist from the last run. ``vip``: an
    address that the first load balancer can have."""
    clouds_file = write_clouds(directory, url)
    quoted = shlex.quote(str(clouds_file))
    openstack = Path(sys.executable).with_name("openstack")
    commands = _OPENSTACK.format(clouds_file=quoted, cloud=CLOUD, command=shlex.quote(str(openstack)))
    text = _NOTICE.format(
        url=url,
        directory=directory,
        trial=shlex.quote(str(write_trial(directory, vip))),
        vip=vip,
        clouds_file=clouds_file,
        clouds=_CLOUDS.format(cloud=CLOUD, url=url),
        openstack=commands if openstack.exists() else _NO_OPENSTACK,
    )
    say(text)
    if running:
        say(f"{count(running)} from the last run {'is' if running == 1 else 'are'} still running.")
    say("Ctrl-C stops it " + ("and leaves load balancers running." if keep else "and removes its load balancers."))


def say(text: str) -> None:
    """Print and flush. If the reader has gone (``portico up | head``), discard this and all later output."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def count(load_balancers: int) -> str:
    """``1 load balancer``, ``2 load balancers``."""
    return f"{load_balancers} load balancer" + ("" if load_balancers == 1 else "s")
