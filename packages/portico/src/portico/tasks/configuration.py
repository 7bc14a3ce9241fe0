"""The task that renders the whole configuration and pushes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.errors import AddressInUse, ConfigurationRefused, NoSuitableAmphora
from portico.render import render
from portico.resources.operation import Action
from portico.tasks.work import Work, WorkTask


class PushConfiguration(WorkTask):
    """Ensures that every amphora of the load balancer runs the configuration that is wanted.

    There is no revert: a refused configuration never ran, and what ran before still runs. After any other failure the
    work is ``in_doubt``: the pushed configuration may or may not run.
    """

    def execute(self) -> None:
        """Render once for each amphora and push.

        Raises:
            NoSuitableAmphora: no amphora carries the load balancer, although something has to be carried.
            ConfigurationRefused, AddressInUse, InvalidInput: the load balancer cannot be configured like this.
        """
        push(self.work, self.work.with_retries)


def push(work: Work, call: Callable[..., Any]) -> None:
    """Do the work of ``PushConfiguration``, with each driver call made through ``call``."""
    amphorae = work.serving()
    if not amphorae:
        if all(operation.action == Action.DELETE for operation in work.operations):
            return
        raise NoSuitableAmphora(
            f"load balancer {work.claim.key} has no amphora that carries it: fail it over to build one"
        )
    version = work.next_version()
    tree = work.tree
    for amphora in amphorae:
        bundle = render(tree, amphora.id, version)
        try:
            endpoint = call(work.endpoint_of, amphora)
            call(work.services.amphorae.push, endpoint, bundle)
        except (ConfigurationRefused, AddressInUse):
            if amphora is not amphorae[0]:
                work.in_doubt = True  # the amphorae before this one run it
            raise
        except Exception:
            work.in_doubt = True
            raise
    work.version = version
    work.in_doubt = False
