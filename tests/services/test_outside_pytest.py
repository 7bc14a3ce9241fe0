"""Benchmarks use the same servers as tests, without pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import find_tagged
from tests.support.reaper import RUN_VARIABLE

_ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import sys
from sqlalchemy import create_engine, text
from tests.support.services import DATABASES, Services, start_run

kind, durable, question = sys.argv[1], sys.argv[2] == "durable", sys.argv[3]
with start_run() as run, Services(run.directory, durable=durable) as services:
    engine = create_engine(DATABASES[kind](services).fresh_database())
    with engine.connect() as connection:
        print(run.id, run.directory, connection.execute(text(question)).scalar())
    engine.dispose()
"""


@pytest.mark.parametrize(
    ("kind", "question", "durable", "quick"),
    [
        ("postgresql", "SHOW fsync", "on", "off"),
        ("mariadb", "SELECT @@innodb_flush_log_at_trx_commit", "1", "2"),
    ],
)
@pytest.mark.parametrize("how", ["durable", "quick"])
def test_a_program_has_its_own_servers(kind: str, question: str, durable: str, quick: str, how: str) -> None:
    """A program gets its own servers, which flush at each commit if it requests that, and leaves neither process nor
    file."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind, how, question],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    run_id, directory, answer = done.stdout.split()

    assert answer == (durable if how == "durable" else quick)
    assert not find_tagged(RUN_VARIABLE, run_id)
    assert not Path(directory).exists()
