"""The configuration: rendering the whole of it and pushing it."""

from __future__ import annotations

from portico.errors import NoSuitableAmphora
from portico.ports.amphora import Endpoint
from portico.render import render
from portico.store.operations import Action
from portico.tasks.work import WorkTask


class PushConfiguration(WorkTask):
    """Every amphora of the load balancer runs the configuration that is wanted.

    There is no revert: a refused configuration never ran, and what ran before still runs.
    """

    def execute(self) -> None:
        """Render once for each amphora and push.

        Raises:
            NoSuitableAmphora: nothing carries the load balancer, and something is to be carried.
            ConfigurationRefused, AddressInUse, InvalidInput: it cannot be configured like this.
        """
        work = self.work
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
            work.patiently(work.services.amphorae.push, Endpoint(amphora.id, amphora.agent_url or ""), bundle)
        work.version = version
