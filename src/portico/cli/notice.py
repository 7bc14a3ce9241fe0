"""What ``portico up`` tells whoever started it: how to reach it, and how to try it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

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

For clients, an entry for clouds.yaml (also in {clouds_file}):

{clouds}
To try it, in another terminal:

  export OS_CLIENT_CONFIG_FILE={clouds_file} OS_CLOUD={cloud}
  openstack loadbalancer create --name first --vip-network-id portico --wait
"""


def write_clouds(directory: Path, url: str) -> Path:
    """Write the entry as a clouds.yaml of its own into the directory; returns its path."""
    path = directory / "clouds.yaml"
    draft = path.with_suffix(".draft")
    draft.write_text(_CLOUDS.format(cloud=CLOUD, url=url))
    return draft.replace(path)


def welcome(directory: Path, url: str, running: int, *, keep: bool) -> None:
    """Say all that a newcomer needs. ``running``: load balancers that are there from before."""
    clouds_file = write_clouds(directory, url)
    text = _NOTICE.format(
        url=url, directory=directory, cloud=CLOUD, clouds=_CLOUDS.format(cloud=CLOUD, url=url), clouds_file=clouds_file
    )
    say(text)
    if running:
        say(f"{count(running)} from before {'goes' if running == 1 else 'go'} on running.")
    say("Ctrl-C stops it " + ("and leaves load balancers running." if keep else "and removes its load balancers."))


def say(text: str) -> None:
    """Print, at once; where the reader has gone (``portico up | head``), to nobody, from then on."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def count(load_balancers: int) -> str:
    """``1 load balancer``, ``2 load balancers``."""
    return f"{load_balancers} load balancer" + ("" if load_balancers == 1 else "s")
