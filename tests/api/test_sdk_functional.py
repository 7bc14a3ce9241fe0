"""openstacksdk's own functional tests for load balancers, as shipped with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.open_keystone import PROJECT, open_keystone

pytestmark = pytest.mark.database("sqlite")

_CLOUD = """\
  {name}:
    auth: {{auth_url: "{url}", username: tester, password: secret, project_name: {project},
            user_domain_id: default, project_domain_id: default}}
    region_name: here
"""
_CLOUDS = ("devstack", "devstack-admin", "devstack-alt", "devstack-system-admin")
"""The clouds that the tests look for."""
_RUN = """\
import sys, time, unittest
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.05))  # the tests poll every two seconds
module = "openstack.tests.functional.load_balancer.v2.test_load_balancer"
found = [test for suite in unittest.defaultTestLoader.loadTestsFromName(module) for test in suite]
chosen = unittest.TestSuite(found[:: int(sys.argv[1])])
sys.exit(not unittest.TextTestRunner(failfast=True).run(chosen).wasSuccessful())
"""
EVERY = int(os.environ.get("PORTICOTEST_SDK_EVERY", "5"))
"""Each test first builds one object of each kind, which takes some two seconds. Every fifth test runs; all of them run
with ``PORTICOTEST_SDK_EVERY=1``."""


def test_the_functional_tests_of_the_sdk_pass(url: str, tmp_path: Path) -> None:
    """The SDK's tests pass unchanged, in a process of their own; only their waiting is shortened."""
    with open_keystone(url) as auth_url:
        clouds = tmp_path / "clouds.yaml"
        entries = [_CLOUD.format(name=name, url=auth_url, project=PROJECT) for name in _CLOUDS]
        clouds.write_text("clouds:\n" + "".join(entries))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "OS_CLIENT_CONFIG_FILE": str(clouds),
            "OS_TEST_TIMEOUT": "60",
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run(
            [sys.executable, "-c", _RUN, str(EVERY)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=390,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-8000:]
    assert "OK" in done.stderr
    assert "skipped" not in done.stderr
