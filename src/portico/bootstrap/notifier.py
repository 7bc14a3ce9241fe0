"""What tells workers to look."""

from __future__ import annotations

import warnings

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.ports.notifier import Notifier
from portico.settings import Settings


def build_notifier(settings: Settings) -> Notifier:
    """What tells workers to look: through the broker that the settings name, else within this process. A broker need
    not be there.

    Raises:
        InvalidInput: ``messaging.url`` is no such URL.
    """
    if not settings.messaging.url.get_secret_value():
        return InProcessNotifier()
    # Importing it takes a second, which is not for those who need no broker. Its own dependencies warn of each other.
    with warnings.catch_warnings(action="ignore"):
        from portico.drivers.messaging_notifier import MessagingNotifier  # noqa: PLC0415
    return MessagingNotifier(settings.messaging)


def try_broker(settings: Settings) -> None:
    """Send a message through the broker that the settings name. It wakes workers, which find nothing to do.

    Raises:
        DriverUnavailable: it cannot be reached, or refuses.
        InvalidInput: ``messaging.url`` is no such URL.
    """
    with warnings.catch_warnings(action="ignore"):  # as above
        from portico.drivers import messaging_notifier  # noqa: PLC0415
    messaging_notifier.try_broker(settings.messaging)
