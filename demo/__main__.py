"""The demo: a real load balancer on this machine that carries traffic, changes, breaks and heals.

    scripts/demo

It needs nothing but this machine's loopback addresses. Read ``Demo`` from top to bottom: it is how any program
uses Portico, through the API and with a client that knows nothing of it, openstacksdk. What stands around it is in the
modules beside: Portico itself in ``portico_up``, servers and clients in ``traffic``, printing in ``report``, looking
for remains in ``remains``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from demo.portico_up import PorticoUp
from demo.remains import await_end, find_newest_process, find_sockets, kill_processes
from demo.report import Report
from demo.traffic import Backend, Traffic, ask_once, find_free_port
from portico.cli.stop_signals import reset_signals

try:
    import openstack
    from openstack.exceptions import SDKException
except ImportError as error:
    sys.exit(
        f"Error: the demo is a client of Portico's API, and {error.name} is missing. Run scripts/demo, which installs "
        "all that it needs, or install openstacksdk, python-openstackclient and python-octaviaclient."
    )

FIRST_REQUESTS = 1000
LOOK = 240
"""Answers that are looked at after each change."""
POLL_SECONDS = 0.02
"""How often the API is asked whether a change is done."""
PATIENCE = 60
"""Seconds that a change may take."""
TAKEN_OUT_SECONDS = 3.0
"""Until the monitor below has certainly seen a dead member: two failed checks, one second apart, the first of them up
to one second away."""


class Demo:
    """One load balancer's life, from ``build`` to ``delete``.

    Args:
        portico: Portico, serving.
        report: prints each step.
        running: ends, at the very end, what is started here.
    """

    def __init__(self, portico: PorticoUp, report: Report, running: ExitStack) -> None:
        self.portico = portico
        self.report = report
        self.running = running
        # As openstack.connect(cloud="portico"), with the clouds.yaml that portico up wrote.
        clouds = openstack.config.OpenStackConfig([str(portico.clouds)], load_envvars=False)
        connection = openstack.connection.Connection(config=clouds.get_one("portico"))
        # Any: by its types the SDK polls in whole seconds only, and may find nothing where there is something.
        self.network: Any = running.enter_context(connection).network
        self.lbs: Any = connection.load_balancer

    def show(self) -> None:
        """Everything, in order."""
        self.build()
        self.ask_command_line()
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

        with self.report.step("Create the load balancer") as step:
            built_ms = step.measure(self.create)
            step.measure(lambda: ask_once(self.address, self.port))
            step.show(f"until http://{self.address}:{self.port} gave its first answer; built after {built_ms:.0f} ms")

    def create(self) -> None:
        """A load balancer, with all its parts. Portico is busy building it while the parts come, and takes them all the
        same: nothing has to be waited for but the end."""
        lbs, self.port = self.lbs, find_free_port()
        subnet = self.network.find_subnet("portico")
        self.web = lbs.create_load_balancer(name="web", vip_subnet_id=subnet.id)
        self.listener = lbs.create_listener(load_balancer_id=self.web.id, protocol="HTTP", protocol_port=self.port)
        self.pool = lbs.create_pool(listener_id=self.listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self.members = {
            backend.name: lbs.create_member(
                self.pool, name=backend.name, address="127.0.0.1", protocol_port=backend.port
            )
            for backend in (self.doric, self.ionic)
        }
        lbs.create_health_monitor(
            pool_id=self.pool.id, type="HTTP", url_path="/health", delay=1, timeout=1, max_retries=1, max_retries_down=2
        )
        self.settle()
        self.address = lbs.get_load_balancer(self.web.id).vip_address

    def settle(self) -> None:
        """Wait until what was asked for is so."""
        self.lbs.wait_for_load_balancer(self.web.id, interval=POLL_SECONDS, wait=PATIENCE)

    def ask_command_line(self) -> None:
        """The same, as the people see it who use OpenStack's command line."""
        columns = ("name", "vip_address", "provisioning_status", "operating_status")
        words = ["loadbalancer", "list", *(word for name in columns for word in ("-c", name))]
        with self.report.step("Ask the command line") as step:
            step.show(" ".join(["openstack", *words]))
            openstack_client = shutil.which("openstack", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
            asked = subprocess.run(
                [openstack_client or "openstack", "--os-cloud", "portico", *words],
                env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.portico.clouds), "PYTHONWARNINGS": "ignore"},
                capture_output=True,
                text=True,
                check=False,
            )
            for line in (asked.stdout or asked.stderr).splitlines():
                step.show(line)
            step.check(asked.returncode == 0, f"it ended with status {asked.returncode}")

    def send_requests(self) -> None:
        """Traffic begins, and goes on from here: under it, everything else happens."""
        with self.report.step(f"Send {FIRST_REQUESTS:,} requests") as step:
            step.show(self.traffic.collect(FIRST_REQUESTS).describe_spread())

    def change_members(self) -> None:
        """Members come, weigh more, and are drained. The HAProxy that runs is told; no other is started."""
        report, lbs, members, traffic = self.report, self.lbs, self.members, self.traffic
        haproxy = self.find_haproxy()

        with report.step("Add a third member") as step:
            tuscan = self.running.enter_context(Backend("tuscan"))
            with step.timed():
                members["tuscan"] = lbs.create_member(
                    self.pool, name="tuscan", address="127.0.0.1", protocol_port=tuscan.port
                )
                self.settle()
            seen = traffic.collect(LOOK)
            step.show(seen.describe_spread())
            step.check(seen.by["tuscan"] > 0, "tuscan got no request")

        with report.step("Give it twice the weight") as step:
            step.measure(lambda: self.weigh("tuscan", 2))
            seen = traffic.collect(LOOK)
            step.show(seen.describe_spread())
            step.check(seen.by["tuscan"] > 1.5 * seen.by["doric"], "tuscan got no more than doric")

        with report.step("Drain ionic (weight 0)") as step:
            step.measure(lambda: self.weigh("ionic", 0))
            seen = traffic.collect(LOOK)
            step.show(seen.describe_spread())
            step.check(seen.by["ionic"] == 0, "ionic still got requests")

        with report.step("Let ionic work again") as step:
            step.measure(lambda: self.weigh("ionic", 1))
            step.show(traffic.collect(LOOK).describe_spread())
            step.show(f"no reload: all four changes were told to the HAProxy that runs, process {haproxy}")
            step.check(self.find_haproxy() == haproxy, "another HAProxy process runs now")

    def weigh(self, name: str, weight: int) -> None:
        """Give a member another weight."""
        self.lbs.update_member(self.members[name], self.pool, weight=weight)
        self.settle()

    def add_policy(self) -> None:
        """A policy with one rule. This does need another HAProxy process: it takes the same listening socket over."""
        with self.report.step("Reject /private by an L7 policy") as step:
            before = ask_once(self.address, self.port, "/private/plans")
            with step.timed():
                policy = self.lbs.create_l7_policy(listener_id=self.listener.id, action="REJECT")
                self.lbs.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/private")
                self.settle()
            after = ask_once(self.address, self.port, "/private/plans")
            self.traffic.collect(LOOK)
            step.show(f"/private/plans was answered with {before.status}, and is now with {after.status}")
            step.check((before.status, after.status) == (200, 403), "that should be 200 and 403")

    def break_member(self) -> None:
        """A server stops, and the health monitor takes its member out, until the server is well again."""
        with self.report.step("Stop doric", breaks=True) as step:
            self.doric.stop()
            if self.await_member_status("doric", "ERROR"):
                step.show("the API says that member doric is in ERROR")
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

    def await_member_status(self, name: str, status: str) -> bool:
        """Whether the API came to say so of a member, in the time that the monitor needs."""
        deadline = time.monotonic() + TAKEN_OUT_SECONDS
        while time.monotonic() < deadline:
            if self.lbs.get_member(self.members[name], self.pool).operating_status == status:
                return True
            time.sleep(0.1)
        return False

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
            old = self.find_amphora()
            with step.timed():
                self.lbs.failover_amphora(old)
                self.settle()
            new = self.find_amphora()
            step.show(f"amphora {old[:8]} is gone, {new[:8]} serves: {self.traffic.collect(LOOK).describe_spread()}")
            step.check(new != old, "the amphora is still the same")

    def delete(self) -> None:
        """The load balancer goes, with everything that it had."""
        with self.report.step("Delete the load balancer") as step:
            with step.timed():
                self.lbs.delete_load_balancer(self.web, cascade=True)
                self.lbs.wait_for_delete(self.web, interval=POLL_SECONDS, wait=PATIENCE)
            still_open = find_sockets([(self.address, self.port)])
            step.show(f"nobody listens on {self.address}:{self.port} any more")
            step.check(not still_open, f"still open: {still_open}")

    def find_amphora(self) -> str:
        """The id of the amphora that serves the load balancer."""
        [amphora] = self.lbs.amphorae(loadbalancer_id=self.web.id)
        return str(amphora.id)

    def find_haproxy(self) -> int:
        """The id of the HAProxy process that serves the load balancer: it works in the directory of its amphora."""
        return find_newest_process(self.portico.directory / "agent" / "amphorae" / self.find_amphora())


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


def show_everything(report: Report, directory: Path, haproxy: Path | None) -> None:
    """Portico starts, shows what it can do, and stops."""
    with report.step("Start Portico") as step:
        portico = PorticoUp(directory, haproxy)
        step.show(f"portico up: API, worker, agent and database, with all data in {directory}")
    try:
        with ExitStack() as running:
            Demo(portico, report, running).show()
        with report.step("Stop Portico") as step:
            status = portico.stop()
            step.check(status == 0, f"it ended with status {status}: {portico.last_words()}")
    except (SDKException, TimeoutError):
        report.say_lines("What Portico said", portico.last_words())
        raise
    finally:
        portico.stop()


def demo(
    haproxy: Annotated[
        Path | None,
        typer.Option(help="HAProxy to use; else the system's, else the packaged one.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Show a load balancer at work on this machine: built, loaded, changed, broken, healed, deleted."""
    reset_signals()
    for number in (signal.SIGTERM, signal.SIGHUP):  # each cleans up like Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    report = Report(Console())
    report.say(
        "A load balancer on this machine, under real traffic: each step, its time, and what became of requests.\n"
    )
    try:
        with data_directory(report) as directory:
            show_everything(report, directory, haproxy)
    except KeyboardInterrupt:
        report.break_off("interrupted")
        raise typer.Exit(130) from None
    except (SDKException, RuntimeError, TimeoutError) as error:
        report.break_off(str(error))
        raise typer.Exit(1) from error
    raise typer.Exit(0 if report.summarise() else 1)


app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(demo)

if __name__ == "__main__":
    os.umask(0o077)
    app()
