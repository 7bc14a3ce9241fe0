"""The demo: a real load balancer on this machine that carries traffic, changes, breaks and heals.

    python -m portico.cli.demo

It needs nothing but this machine's loopback addresses. Read ``Demo`` from top to bottom: it is how any program
uses Portico. What stands around it is in the modules beside: servers and clients in ``demo_traffic``, printing
in ``demo_report``, looking for remains in ``demo_remains``.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from portico import Embedded, open_embedded
from portico.cli.demo_remains import await_end, find_sockets, kill_processes
from portico.cli.demo_report import Report
from portico.cli.demo_traffic import Backend, Traffic, ask_once, find_free_port
from portico.errors import PorticoError
from portico.ports.amphora import Endpoint

FIRST_REQUESTS = 1000
LOOK = 240
"""Answers that are looked at after each change."""
TAKEN_OUT_SECONDS = 3.0
"""Until the monitor below has certainly seen a dead member: two failed checks, one second apart, the first of them up
to one second away."""


class Demo:
    """One load balancer's life, from ``build`` to ``delete``.

    Args:
        portico: Portico, open.
        report: prints each step.
        running: ends, at the very end, what is started here.
    """

    def __init__(self, portico: Embedded, report: Report, running: ExitStack) -> None:
        self.catalog = portico.catalog
        self.worker = portico.worker
        self.report = report
        self.running = running

    def show(self) -> None:
        """Everything, in order."""
        self.build()
        with Traffic(self.address, self.port) as self.traffic:
            self.report.traffic = self.traffic
            self.send_requests()
            self.change_members()
            self.add_policy()
            self.break_member()
            self.kill_haproxy()
            self.fail_over()
        self.report.traffic = None
        self.delete()

    def build(self) -> None:
        """Two servers, and a load balancer before them."""
        with self.report.step("Start two servers") as step:
            self.doric = self.running.enter_context(Backend("doric"))
            self.ionic = self.running.enter_context(Backend("ionic"))
            step.show(f"doric on 127.0.0.1:{self.doric.port}, ionic on 127.0.0.1:{self.ionic.port}")

        # A load balancer is described first. That writes rows, and changes nothing in the world.
        catalog, self.port = self.catalog, find_free_port()
        self.web = catalog.add_load_balancer(name="web")
        self.pool = catalog.add_pool(self.web, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self.listener = catalog.add_listener(
            self.web, protocol="HTTP", protocol_port=self.port, default_pool_id=self.pool
        )
        self.members = {
            backend.name: catalog.add_member(self.pool, address="127.0.0.1", protocol_port=backend.port)
            for backend in (self.doric, self.ionic)
        }
        catalog.add_health_monitor(
            self.pool, type="HTTP", url_path="/health", delay=1, timeout=1, max_retries=1, max_retries_down=2
        )

        # Then the worker builds it with all its parts: an address, an amphora, HAProxy, its configuration.
        with self.report.step("Create the load balancer") as step:
            built_ms = step.measure(lambda: self.worker.create_load_balancer(self.web))
            self.address = catalog.show("load_balancer", self.web)["vip_address"]
            step.measure(lambda: ask_once(self.address, self.port))
            step.show(f"until http://{self.address}:{self.port} gave its first answer; built after {built_ms:.0f} ms")

    def send_requests(self) -> None:
        """Traffic begins, and goes on from here: under it, everything else happens."""
        with self.report.step(f"Send {FIRST_REQUESTS:,} requests") as step:
            step.show(self.traffic.collect(FIRST_REQUESTS).describe_spread())

    def change_members(self) -> None:
        """Members come, weigh more, and are drained. The HAProxy that runs is told; no other is started."""
        report, worker, members, traffic = self.report, self.worker, self.members, self.traffic
        haproxy = self.find_haproxy()

        with report.step("Add a third member") as step:
            tuscan = self.running.enter_context(Backend("tuscan"))
            members["tuscan"] = self.catalog.add_member(self.pool, address="127.0.0.1", protocol_port=tuscan.port)
            step.measure(lambda: worker.create_member(members["tuscan"]))
            seen = traffic.collect(LOOK)
            step.show(seen.describe_spread())
            step.check(seen.by["tuscan"] > 0, "tuscan got no request")

        with report.step("Give it twice the weight") as step:
            step.measure(lambda: worker.update_member(members["tuscan"], {"weight": 2}))
            seen = traffic.collect(LOOK)
            step.show(seen.describe_spread())
            step.check(seen.by["tuscan"] > 1.5 * seen.by["doric"], "tuscan got no more than doric")

        with report.step("Drain ionic (weight 0)") as step:
            step.measure(lambda: worker.update_member(members["ionic"], {"weight": 0}))
            seen = traffic.collect(LOOK)
            step.show(seen.describe_spread())
            step.check(seen.by["ionic"] == 0, "ionic still got requests")

        with report.step("Let ionic work again") as step:
            step.measure(lambda: worker.update_member(members["ionic"], {"weight": 1}))
            step.show(traffic.collect(LOOK).describe_spread())
            step.show(f"no reload: all four changes were told to the HAProxy that runs, process {haproxy}")
            step.check(self.find_haproxy() == haproxy, "another HAProxy process runs now")

    def add_policy(self) -> None:
        """A policy with one rule. This does need another HAProxy process: it takes the same listening socket over."""
        with self.report.step("Reject /private by an L7 policy") as step:
            before = ask_once(self.address, self.port, "/private/plans")
            policy = self.catalog.add_l7policy(self.listener, action="REJECT")
            step.measure(lambda: self.worker.create_l7policy(policy))
            rule = self.catalog.add_l7rule(policy, type="PATH", compare_type="STARTS_WITH", value="/private")
            step.measure(lambda: self.worker.create_l7rule(rule))
            after = ask_once(self.address, self.port, "/private/plans")
            self.traffic.collect(LOOK)
            step.show(f"/private/plans was answered with {before.status}, and is now with {after.status}")
            step.check((before.status, after.status) == (200, 403), "that should be 200 and 403")

    def break_member(self) -> None:
        """A server stops, and the health monitor takes its member out, until the server is well again."""
        with self.report.step("Stop doric", breaks=True) as step:
            self.doric.stop()
            time.sleep(TAKEN_OUT_SECONDS)
            step.show(f"{self.traffic.collect(LOOK).describe_spread()}; what doric refused, another one answered")

        with self.report.step("Start doric again, but unwell") as step:
            self.doric.well = False
            self.doric.start()
            seen = self.traffic.collect(LOOK)
            step.show(f"{seen.describe_spread()}; its /health says 503, so the monitor keeps it out")
            step.check(seen.by["doric"] == 0, "doric got requests")

        with self.report.step("Make doric well") as step:
            self.doric.well = True
            step.measure(lambda: self.traffic.await_answer(by="doric"))
            step.show("until the monitor had noticed, and doric answered again")

    def kill_haproxy(self) -> None:
        """HAProxy dies. Its supervisor holds the listening socket, so that new connections wait for the next one."""
        with self.report.step("Kill HAProxy (SIGKILL)", breaks=True) as step:
            haproxy = self.find_haproxy()
            os.kill(haproxy, signal.SIGKILL)
            step.measure(self.traffic.await_answer)
            self.traffic.collect(LOOK)
            step.show("until the next answer; what is lost was on the connections that died with it")
            step.check(self.find_haproxy() != haproxy, "the process still runs")

    def fail_over(self) -> None:
        """Another amphora takes the place of the one that serves, which goes when the new one has taken over."""
        with self.report.step("Fail over to a new amphora") as step:
            [old] = self.catalog.list_ids("amphora", load_balancer_id=self.web)
            step.measure(lambda: self.worker.failover_amphora(old))
            [new] = self.catalog.list_ids("amphora", load_balancer_id=self.web)
            step.show(f"amphora {old[:8]} is gone, {new[:8]} serves: {self.traffic.collect(LOOK).describe_spread()}")
            step.check(new != old, "the amphora is still the same")

    def delete(self) -> None:
        """The load balancer goes, with everything that it had."""
        with self.report.step("Delete the load balancer") as step:
            step.measure(lambda: self.worker.delete_load_balancer(self.web))
            still_open = find_sockets([(self.address, self.port)])
            step.show(f"nobody listens on {self.address}:{self.port} any more")
            step.check(not still_open, f"still open: {still_open}")

    def find_haproxy(self) -> int:
        """The id of the HAProxy process that serves the load balancer: its amphora's agent knows."""
        [amphora] = self.catalog.list_ids("amphora", load_balancer_id=self.web)
        endpoint = Endpoint(amphora, self.catalog.show("amphora", amphora)["agent_url"])
        pid = self.worker.services.amphorae.state(endpoint).pid
        if pid is None:
            raise RuntimeError(f"no HAProxy runs for amphora {amphora}")
        return pid


@contextmanager
def data_directory(report: Report) -> Iterator[Path]:
    """A new directory for all data, of which nothing is left in the end: no process, no socket, no file.

    After a demo that went through, what does not end by itself counts as left behind, and is ended all the same. One
    that was broken off is simply cleaned up after.
    """
    directory = Path(tempfile.mkdtemp(prefix="portico-demo-"))
    try:
        yield directory
        report.left += await_end(directory)
    finally:
        report.left += kill_processes(directory)
        report.left += find_sockets(directory=directory)
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            report.left.append(str(directory))


def demo(
    haproxy: Annotated[
        Path | None, typer.Option(help="HAProxy to use; else the packaged one.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Show a load balancer at work on this machine: built, loaded, changed, broken, healed, deleted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up like Ctrl-C
    report = Report(Console())
    report.say(
        "A load balancer on this machine, under real traffic: each step, its time, and what became of requests.\n"
    )
    try:
        with data_directory(report) as directory, ExitStack() as running:
            with report.step("Open Portico") as step:
                portico = open_embedded(directory, haproxy=haproxy)
                running.callback(portico.close, stop_agent=True)
                step.show(f"a database, certificates and an agent, all of it in {directory}")
            Demo(portico, report, running).show()
    except KeyboardInterrupt:
        report.break_off("interrupted")
        raise typer.Exit(130) from None
    except (PorticoError, TimeoutError) as error:
        report.break_off(str(error))
        raise typer.Exit(1) from error
    raise typer.Exit(0 if report.summarise() else 1)


app = typer.Typer(pretty_exceptions_enable=False)
app.command()(demo)

if __name__ == "__main__":
    app()
