"""The types that programs embedding Portico use: mypy's errors about the installed package's callers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from portico.settings import Settings, SettingsGroups

_RIGHT = """\
from portico import open_embedded
from portico.settings import WorkerSettings

with open_embedded("/tmp/portico", worker=WorkerSettings(threads=8)) as portico:
    web = portico.catalog.add_load_balancer(name="web", additional_vips=[{"ip_address": "127.64.0.9"}])
    pool = portico.catalog.add_pool(
        web, protocol="HTTP", lb_algorithm="ROUND_ROBIN", session_persistence={"type": "HTTP_COOKIE"}
    )
    portico.catalog.add_listener(web, protocol="HTTP", protocol_port=8080, default_pool_id=pool)
    member = portico.catalog.add_member(pool, address="127.0.0.1", protocol_port=9001)
    portico.catalog.add_health_monitor(pool, type="TCP", delay=5, timeout=2, max_retries=2)
    portico.worker.create_load_balancer(web)
    portico.worker.update_member(member, {"weight": 5, "monitor_port": None})
    portico.worker.update_pool(pool, {"lb_algorithm": "SOURCE_IP"})
    address: str = portico.catalog.show("load_balancer", web)["vip_address"]
    operation: str = portico.requests.update("member", member, {"weight": 6}).operation_id
"""
_WRONG = {
    'portico.catalog.add_load_balancer(nam="web")': "nam",
    'portico.catalog.add_member(pool, address="127.0.0.1", protocol_port="9001")': "protocol_port|int",
    'portico.catalog.add_member(pool, address="127.0.0.1")': "protocol_port",
    'portico.catalog.add_listener(web, protocol="http", protocol_port=80)': "protocol|Literal",
    'portico.catalog.add_pool(web, protocol="HTTP", lb_algorithm="SOURCE_IP", tags="a")': "tags",
    'portico.worker.update_member(member, {"wieght": 5})': "wieght",
    'portico.worker.update_member(member, {"address": "127.0.0.2"})': "address",
    'portico.catalog.show("loadbalancer", web)': "loadbalancer",
    'portico.requests.failover("member", member)': "member",
    'open_embedded("/tmp/portico", workers=WorkerSettings())': "workers",
}
"""By line: what mypy's error about the line must contain."""


def test_types_reject_wrong_calls_and_accept_right_ones(tmp_path: Path) -> None:
    """Under mypy --strict with its defaults, valid fields, values, kinds and groups of settings pass. Each unknown one,
    or one of the wrong type, is an error in its line."""
    program = tmp_path / "program.py"
    lines = [*_RIGHT.splitlines(), *(f"    {line}" for line in _WRONG)]
    program.write_text("\n".join(lines) + "\n")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path / 'cache'}",
        program.name,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    found = {
        int(line): text for line, text in re.findall(r"^program\.py:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    }
    first = len(_RIGHT.splitlines()) + 1
    assert set(found) == set(range(first, first + len(_WRONG))), done.stdout + done.stderr
    for number, (line, named) in enumerate(_WRONG.items(), first):
        assert re.search(named, found[number]), (line, found[number])


def test_every_group_of_settings_is_accepted() -> None:
    """``open_embedded`` accepts every group of ``Settings``."""
    assert set(SettingsGroups.__annotations__) == set(Settings.model_fields)
