"""The demo: a real load balancer on this machine that carries traffic, changes, breaks and heals.

    scripts/demo

It needs only this machine's loopback addresses. Read ``Demo`` from top to bottom: it shows how any program uses
Portico, through the API and with a general client, openstacksdk. The other modules of this package do the rest:
``portico_up`` starts Portico, ``traffic`` has the servers and clients, ``report`` prints, and ``remains`` checks that
nothing is left behind.
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
        f"Error: the demo is a client of Portico's API, and the module {error.name} is missing. Run scripts/demo, "
        "which installs everything, or install openstacksdk, python-openstackclient and python-octaviaclient."
    )

FIRST_REQUESTS = 1000
SAMPLE = 240
"""Answers that are counted after each change."""
POLL_SECONDS = 0.02
"""Interval at which the API is polled until a change is done."""
PATIENCE = 60
"""Longest time, in seconds, that a change may take."""
TAKEN_OUT_SECONDS = 3.0
"""Time within which the health monitor below certainly detects a dead member: two failed checks, one second apart, the
first up to one second away."""


class Demo:
    """One load balancer's life, from ``build`` to ``delete``.

    Args:
        portico: Portico, serving.
        report: prints each step.
        running: closes, at the very end, what the demo starts.
    """

    def __init__(self, portico: PorticoUp, report: Report, running: ExitStack) -> None:
        self.portico = portico
        self.report = report
        self.running = running
        # The same as openstack.connect(cloud="portico"), with the clouds.yaml that portico up wrote.
        clouds = openstack.config.OpenStackConfig([str(portico.clouds)], load_envvars=False)
        connection = openstack.connection.Connection(config=clouds.get_one("portico"))
        # Any: by the SDK's types, intervals are whole seconds, and find_subnet may return None.
        self.network: Any = running.enter_context(connection).network
        self.lbs: Any = connection.load_balancer

    def show(self) -> None:
        """Run every step, in order."""
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
        """Start two servers, and build a load balancer in front of them."""
        with self.report.step("Start two servers") as step:
            self.doric = self.running.enter_context(Backend("doric"))
            self.ionic = self.running.enter_context(Backend("ionic"))
            step.show(f"doric on 127.0.0.1:{self.doric.port}, ionic on 127.0.0.1:{self.ionic.port}")

        with self.report.step("Create the load balancer") as step:
            built_ms = step.measure(self.create)
            step.measure(lambda: ask_once(self.address, self.port))
            step.show(f"ACTIVE after {built_ms:,.0f} ms; then the first answer from http://{self.address}:{self.port}")

    def create(self) -> None:
        """Create a load balancer with all its parts. Portico accepts the parts while it still builds the load balancer,
        so only one wait is needed, at the end."""
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
        """Wait until Portico has applied every change so far."""
        self.lbs.wait_for_load_balancer(self.web.id, interval=POLL_SECONDS, wait=PATIENCE)

    def ask_command_line(self) -> None:
        """Show the load balancer as OpenStack's command line lists it."""
        columns = ("name", "vip_address", "provisioning_status", "operating_status")
        words = ["loadbalancer", "list", *(word for name in columns for word in ("-c", name))]
        with self.report.step("List it on the command line") as step:
            step.show(" ".join(["$ openstack", *words]))
            openstack_client = shutil.which("openstack", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
            listed = subprocess.run(
                [openstack_client or "openstack", "--os-cloud", "portico", *words],
                env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.portico.clouds), "PYTHONWARNINGS": "ignore"},
                capture_output=True,
                text=True,
                check=False,
            )
            for line in (listed.stdout or listed.stderr).splitlines():
                step.show(line)
            step.check(listed.returncode == 0, f"the command exited with status {listed.returncode}")

    def send_requests(self) -> None:
        """Start the traffic. It goes on while everything that follows happens."""
        with self.report.step(f"Send {FIRST_REQUESTS:,} requests") as step:
            step.show(f"share of answers: {self.traffic.collect(FIRST_REQUESTS).describe_spread()}")

    def change_members(self) -> None:
        """Add a member, change weights, drain a member. The running HAProxy makes these changes; there is no reload."""
        report, lbs, members, traffic = self.report, self.lbs, self.members, self.traffic
        haproxy = self.find_haproxy()

        with report.step("Add a third member, tuscan") as step:
            tuscan = self.running.enter_context(Backend("tuscan"))
            with step.timed():
                members["tuscan"] = lbs.create_member(
                    self.pool, name="tuscan", address="127.0.0.1", protocol_port=tuscan.port
                )
                self.settle()
            seen = traffic.collect(SAMPLE)
            step.show(seen.describe_spread())
            step.check(seen.by["tuscan"] > 0, "tuscan got no requests")

        with report.step("Double tuscan's weight") as step:
            step.measure(lambda: self.set_weight("tuscan", 2))
            seen = traffic.collect(SAMPLE)
            step.show(seen.describe_spread())
            step.check(seen.by["tuscan"] > 1.5 * seen.by["doric"], "tuscan did not get more requests than doric")

        with report.step("Drain ionic (weight 0)") as step:
            step.measure(lambda: self.set_weight("ionic", 0))
            seen = traffic.collect(SAMPLE)
            step.show(seen.describe_spread())
            step.check(seen.by["ionic"] == 0, "ionic still got requests")

        with report.step("Restore ionic (weight 1)") as step:
            step.measure(lambda: self.set_weight("ionic", 1))
            step.show(traffic.collect(SAMPLE).describe_spread())
            step.show(f"no reload: HAProxy process {haproxy} made all four changes at run time")
            step.check(self.find_haproxy() == haproxy, "HAProxy was reloaded: a new process runs")

    def set_weight(self, name: str, weight: int) -> None:
        """Change a member's weight."""
        self.lbs.update_member(self.members[name], self.pool, weight=weight)
        self.settle()

    def add_policy(self) -> None:
        """Add an L7 policy with one rule. This needs a reload: a new HAProxy process takes over the same socket."""
        with self.report.step("Reject /private with an L7 policy") as step:
            before = ask_once(self.address, self.port, "/private/plans")
            with step.timed():
                policy = self.lbs.create_l7_policy(listener_id=self.listener.id, action="REJECT")
                self.lbs.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/private")
                self.settle()
            after = ask_once(self.address, self.port, "/private/plans")
            self.traffic.collect(SAMPLE)
            step.show(f"GET /private/plans: status {before.status} before, {after.status} now")
            step.check((before.status, after.status) == (200, 403), "expected 200 before and 403 now")

    def break_member(self) -> None:
        """Stop a server. The health monitor takes its member out of service until the server is healthy again."""
        with self.report.step("Stop doric", breaks=True) as step:
            self.doric.stop()
            if self.await_member_status("doric", "ERROR"):
                step.show("the API reports member doric in ERROR")
            step.show(f"{self.traffic.collect(SAMPLE).describe_spread()}; other members answered what doric refused")

        with self.report.step("Start doric again, but unhealthy") as step:
            self.doric.well = False
            self.doric.start()
            seen = self.traffic.collect(SAMPLE)
            step.show(f"{seen.describe_spread()}; doric answers 503 on /health, so the health monitor keeps it out")
            step.check(seen.by["doric"] == 0, "doric got requests")

        with self.report.step("Make doric healthy") as step:
            self.doric.well = True
            step.measure(lambda: self.traffic.await_answer(by="doric"))
            step.show("time until the health monitor noticed and doric answered again")

    def await_member_status(self, name: str, status: str) -> bool:
        """Wait until the API reports this operating status of a member, for as long as the health monitor may need.
        Returns whether it did."""
        deadline = time.monotonic() + TAKEN_OUT_SECONDS
        while time.monotonic() < deadline:
            if self.lbs.get_member(self.members[name], self.pool).operating_status == status:
                return True
            time.sleep(0.1)
        return False

    def kill_haproxy(self) -> None:
        """Kill HAProxy. Its supervisor keeps the listening socket open: new connections wait for the next process."""
        with self.report.step("Kill HAProxy (SIGKILL)", breaks=True) as step:
            haproxy = self.find_haproxy()
            os.kill(haproxy, signal.SIGKILL)
            step.measure(self.traffic.await_answer)
            self.traffic.collect(SAMPLE)
            step.show("time until the next answer; requests in flight on connections of the killed process are lost")
            step.check(self.find_haproxy() != haproxy, "the killed process still runs")

    def fail_over(self) -> None:
        """Replace the amphora with a new one. The old one is deleted once the new one has taken over."""
        with self.report.step("Fail over to a new amphora") as step:
            old = self.find_amphora()
            with step.timed():
                self.lbs.failover_amphora(old)
                self.settle()
            new = self.find_amphora()
            step.show(f"amphora {new[:8]}, which runs a new HAProxy, has replaced {old[:8]}")
            step.show(self.traffic.collect(SAMPLE).describe_spread())
            step.check(new != old, "the amphora was not replaced")

    def delete(self) -> None:
        """Delete the load balancer with everything in it."""
        with self.report.step("Delete the load balancer") as step:
            with step.timed():
                self.lbs.delete_load_balancer(self.web, cascade=True)
                self.lbs.wait_for_delete(self.web, interval=POLL_SECONDS, wait=PATIENCE)
            still_open = find_sockets([(self.address, self.port)])
            step.show(f"nothing listens on {self.address}:{self.port} any more")
            step.check(not still_open, f"still open: {still_open}")

    def find_amphora(self) -> str:
        """The id of the amphora that serves the load balancer."""
        [amphora] = self.lbs.amphorae(loadbalancer_id=self.web.id)
        return str(amphora.id)

    def find_haproxy(self) -> int:
        """The id of the HAProxy process that serves the load balancer: its working directory is in the amphora's."""
        return find_newest_process(self.portico.directory / "agent" / "amphorae" / self.find_amphora())


@contextmanager
def data_directory(report: Report) -> Iterator[Path]:
    """Make a new directory for all data, and remove it at the end with everything that belongs to it: processes,
    sockets and files.

    After a complete demo, a process that does not end on its own is reported as left behind, and killed. After an
    interrupted demo, remaining processes are killed without a report.
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
    """Start Portico, run the demo, and stop Portico."""
    with report.step("Start Portico") as step:
        portico = PorticoUp(directory, haproxy)
        step.show(f"portico up: API, worker, agent and database, with all data in {directory}")
    try:
        with ExitStack() as running:
            Demo(portico, report, running).show()
        with report.step("Stop Portico") as step:
            status = portico.stop()
            step.check(status == 0, f"portico up exited with status {status}: {portico.last_words()}")
    except (SDKException, TimeoutError):
        report.say_lines("Output of portico up", portico.last_words())
        raise
    finally:
        portico.stop()


def demo(
    haproxy: Annotated[
        Path | None,
        typer.Option(
            help="The HAProxy to use. Default: the system's, or else the packaged one.", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Show a load balancer at work on this machine: build it, send traffic, change it, break it, heal it, delete it."""
    reset_signals()
    for number in (signal.SIGTERM, signal.SIGHUP):  # each cleans up like Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    report = Report(Console())
    report.say(
        "A real load balancer on this machine, under real traffic.\n"
        "Each step shows the time that it took and the requests that failed meanwhile.\n"
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
