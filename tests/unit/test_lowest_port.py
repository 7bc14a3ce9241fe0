"""The ports on which a user can listen."""

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


def test_an_ordinary_users_lowest_port_is_the_kernels() -> None:
    """Without root's rights, the lowest port is the kernel's; it is known without trying it with a load balancer."""
    begin = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    done = subprocess.run([sys.executable, "-c", _NOBODY], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert int(done.stdout) == max(begin, 1)
