"""Which ports this user may listen at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import PATIENCE

_NOBODY = """
import os
from portico.bootstrap.embedded import find_lowest_port
if os.geteuid() == 0:
    os.setuid(65534)
print(find_lowest_port())
"""


def test_an_ordinary_user_is_told_where_his_ports_begin() -> None:
    """Without root's rights, where the kernel says; nothing has to be tried on a load balancer first."""
    begin = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    done = subprocess.run([sys.executable, "-c", _NOBODY], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert int(done.stdout) == max(begin, 1)
