"""``portico api`` and ``portico worker`` with a broker: what they do, log and load."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from portico.drivers.registry import build_notifier
from portico.errors import InvalidInput
from portico.ports.notifier import Notice
from portico.settings import MessagingSettings, Settings
from tests.queue.broker import messaging
from tests.queue.brokered_world import NEVER
from tests.queue.separate_processes import build_three_load_balancers
from tests.support.commands import NOOP_DRIVERS, run
from tests.support.ports import find_free_port
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import PATIENCE, wait_until_equal


def test_api_and_worker_talk_through_the_broker(tmp_path: Path, rabbitmq: RabbitMQ) -> None:
    """A ``portico worker`` that never polls runs what ``portico api`` accepts. Both exit with status 0 even while the
    broker hangs, and neither logs the broker's password."""
    port = find_free_port()
    config, errors = tmp_path / "portico.toml", tmp_path / "stderr"
    settings = messaging(rabbitmq.url)
    config.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/portico.db"\n[worker]\npoll_seconds = {NEVER}\n[api]\nport = {port}\n'
        f'[messaging]\nurl = "{rabbitmq.url}"\ntopic = "{settings.topic}"\n{NOOP_DRIVERS}'
    )
    assert run("db", "upgrade", "--config", config).exit_code == 0
    build_three_load_balancers(config, port, errors, "takes messages", rabbitmq.pause)
    assert rabbitmq.url.split(":")[2].partition("@")[0] not in errors.read_text()


def test_the_password_is_not_logged(rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    """Neither Portico nor the libraries log the password at any level, whether it is right or wrong."""
    caplog.set_level(logging.DEBUG)
    right = rabbitmq.url.split(":")[2].partition("@")[0]
    wrong = "wr0ng-secret"
    tried: list[str] = []

    with capture_logs() as logs:
        for url in (rabbitmq.url, rabbitmq.url.replace(right, wrong)):
            tried.append(url)
            notifier = build_notifier(Settings(messaging=messaging(url)))
            notifier.announce(Notice("create_listener", "listener", "L"))
            wait_until_equal(lambda: len(logs), len(tried), "it was tried")
            notifier.close()

    assert "no worker takes messages" in logs[0]["reason"]
    assert "ACCESS_REFUSED" in logs[1]["reason"]
    for secret in (right, wrong):
        assert secret not in caplog.text
        assert secret not in str(logs)
        assert secret not in repr(messaging(f"rabbit://portico:{secret}@127.0.0.1/"))


@pytest.mark.parametrize("url", ["127.0.0.1:5672", "carrier-pigeon://u:s3cret@host/", "rabbit://u:s3cret@host:port/"])
def test_a_wrong_url_is_refused_without_the_password(url: str) -> None:
    """A URL that oslo.messaging cannot use is refused with the setting's name and without the password."""
    with pytest.raises(InvalidInput) as refusal:
        build_notifier(Settings(messaging=MessagingSettings(url=SecretStr(url))))

    assert refusal.value.field == "messaging.url"
    assert "s3cret" not in str(refusal.value)


def test_oslo_messaging_is_not_loaded_without_a_broker() -> None:
    """Without a broker in the settings, oslo.messaging is not loaded."""
    program = (
        "import sys; from portico.drivers.registry import build_notifier; from portico.settings import Settings\n"
        "build_notifier(Settings()).close(); assert 'oslo_messaging' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
