"""``portico up``: its instructions for newcomers are correct, obstacles are reported in one line, and it ends
gracefully however it is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import openstack
import pytest

from demo.portico_up import PorticoUp
from demo.remains import find_processes, kill_processes
from portico.settings import LoopbackNetworkSettings
from tests.cli.test_deployment import tree
from tests.cli.test_serve import await_active
from tests.support.clients import fetch, is_listening
from tests.support.commands import PORTICO, run
from tests.support.origins import Origin
from tests.support.ports import find_free_port
from tests.support.remains import wait_until_ended
from tests.support.terminal import in_terminal
from tests.support.waiting import PATIENCE, wait_until

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_BIN = Path(sys.executable).parent
_END_SERVERS = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"

# openstacksdk warns about itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PorticoUp]:
    """One ``portico up`` for all tests here, with its data directory where users have it. After SIGTERM nothing of it
    is left."""
    directory = tmp_path_factory.mktemp("data") / "portico"
    directory.mkdir()
    portico = PorticoUp(directory)
    try:
        read_url(portico)
        yield portico
        assert portico.stop() == 0, portico.last_words()
        assert portico.last_words().endswith("Stopped.")
        wait_until_ended(directory)
    finally:
        portico.stop()
        kill_processes(directory)


def read_url(portico: PorticoUp) -> str:
    """Wait until it has printed its URL, and return it; its clouds.yaml is written a moment earlier."""
    printed = re.compile(r"Portico is at (\S+),")
    [url] = wait_until(
        lambda: printed.findall(portico.last_words()), lambda: f"it prints its URL: {portico.last_words()}"
    )
    return str(url)


def run_shell(script: str, home: Path, path: str = f"{_BIN}:{os.environ['PATH']}") -> str:
    """Run the lines in bash. Return their output; none may fail. ``home``: the user's home directory."""
    done = try_shell(script, home, path)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def try_shell(script: str, home: Path, path: str = f"{_BIN}:{os.environ['PATH']}") -> subprocess.CompletedProcess[str]:
    """Run the lines in bash until one fails, and return the result."""
    environment = {"PATH": path, "HOME": str(home), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        ["bash", "-e", "-c", script], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_the_environment_sets_port_and_database(tmp_path: Path) -> None:
    """Settings that are not given as options come from the environment, and ``portico status`` finds the database in
    the same way. An agent elsewhere is refused with an error, because ``portico up`` has its own."""
    port = find_free_port()
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    environment = {"PORTICO_API__PORT": str(port), "PORTICO_DATABASE__URL": url}
    command = [*PORTICO, "up", "--data-dir", str(tmp_path / "data")]
    refused = subprocess.run(
        command,
        env=os.environ | environment | {"PORTICO_COMPUTE__AGENT_URL": "https://10.0.0.5:9443"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (refused.returncode, "compute.agent_url" in refused.stderr) == (1, True), refused.stderr

    try:
        with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert f"Portico is at http://127.0.0.1:{port}," in process.stdout.readline()
                assert not (tmp_path / "data" / "portico.db").exists()
                shown = run("status", env=environment)
                assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, f"Database: {url}")
            finally:
                process.send_signal(signal.SIGTERM)
        assert process.returncode == 0
    finally:
        kill_processes(tmp_path)


def test_the_clouds_yaml_that_it_prints_works_with_the_sdk(
    up: PorticoUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed lines, pasted into a clouds.yaml, are all that openstacksdk needs, and equal the file that was
    written."""
    printed = re.search(r"^clouds:\n(?: .*\n)+", up.last_words(), re.MULTILINE)
    assert printed, up.last_words()
    pasted = tmp_path / "clouds.yaml"
    pasted.write_text(printed[0])
    assert printed[0] == up.clouds.read_text()

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(pasted))
    with openstack.connect(cloud="portico") as connection:
        network: Any = connection.network
        load_balancer: Any = connection.load_balancer
        subnet = network.find_subnet("portico")
        made = load_balancer.create_load_balancer(name="sdk", vip_subnet_id=subnet.id)
        ready = load_balancer.wait_for_load_balancer(made.id, interval=0.1, wait=60)
    assert ready.vip_address.startswith("127.")


def test_the_commands_that_it_prints_work(up: PorticoUp, tmp_path: Path) -> None:
    """The commands to try in another terminal, with other ports, start a server, build a load balancer in front of it
    and get the server's page through it. The openstack command is there without a PATH, and lists the load balancer."""
    trial, clients = (text for text in up.last_words().split("\n\n") if text.startswith("  "))
    assert str(_BIN / "openstack") in clients
    script = f"{_END_SERVERS}\n{trial}\n{clients}"
    described = up.directory / "try" / "loadbalancer.json"
    for port in ("9001", "8080"):
        here = str(find_free_port())
        assert port in script
        script = script.replace(port, here)
        described.write_text(described.read_text().replace(port, here))
    output = run_shell(script, tmp_path, path="/usr/bin:/bin")
    assert "hello from behind the load balancer" in output
    vip = json.loads(described.read_text())["loadbalancer"]["vip_address"]
    assert ip_address(vip) in ip_network(LoopbackNetworkSettings().vip_range)
    assert re.search(rf"\| first .*{re.escape(vip)} ", output)


def test_its_pages_are_at_the_printed_address(up: PorticoUp) -> None:
    """The printed address with /docs answers with a page."""
    address = re.search(r"its pages at ([^\s,]+)", up.last_words())
    assert address
    assert "<title>Portico API" in httpx.get(address[1], trust_env=False).text


def test_a_second_one_cannot_use_its_directory_or_port(up: PorticoUp, tmp_path: Path) -> None:
    """Each is refused with one line that names the process in the way, or the port."""
    same_directory = run("up", "--data-dir", up.directory, "--port", "0")
    assert (same_directory.exit_code, len(same_directory.stderr.splitlines())) == (1, 1)
    assert re.search(r"another portico up \(process \d+\)", same_directory.stderr)

    port = read_url(up).rpartition(":")[2]
    same_port = run("up", "--data-dir", tmp_path, "--port", port)
    assert (same_port.exit_code, len(same_port.stderr.splitlines())) == (1, 1)
    assert f"port {port}: another program listens there" in same_port.stderr


def test_status_finds_it_with_and_without_its_directory(up: PorticoUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """``portico status`` finds the data directory by either of its options, and without one where users have it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(up.directory.parent))
    named: list[list[str | Path]] = [["--directory", up.directory], ["--data-dir", up.directory], []]
    for words in named:
        shown = run("status", *words)
        assert (shown.exit_code, "Load balancers" in shown.stdout) == (0, True), shown.stderr


def read_quickstart(up: PorticoUp, directory: Path) -> tuple[str, dict[str, str]]:
    """Every command of docs/guides/quickstart.md, in order, with other ports and directories; and a map of these."""
    script = "\n".join(re.findall(r"```bash\n(.*?)```", (_DOCS / "guides" / "quickstart.md").read_text(), re.DOTALL))
    places = {
        "http://127.0.0.1:9876": read_url(up),
        "~/.local/share/portico/clouds.yaml": str(up.clouds),
        "$PWD/.venv/bin": str(_BIN),
    } | {port: str(find_free_port()) for port in ("9001", "9002", "8080")}
    for written, here in places.items():
        assert written in script
        script = script.replace(written, here)
    return f"{_END_SERVERS}\n{script}", places


def test_the_quickstart_can_be_followed(up: PorticoUp, tmp_path: Path) -> None:
    """Every command works, in order: both load balancers answer."""
    script, places = read_quickstart(up, tmp_path)
    output = run_shell(script, tmp_path)
    assert {f"hello from {places['9001']}", f"hello from {places['9002']}"} <= set(output.splitlines())
    assert '"provisioning_status":"ACTIVE"' in output


def test_the_quickstart_shows_why_a_request_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If members may not be on this machine, the first request fails with the reason and the setting's name."""
    monkeypatch.setenv("PORTICO_VALIDATION__ALLOW_LOOPBACK_MEMBERS", "false")
    directory = tmp_path / "portico"
    directory.mkdir()
    strict = PorticoUp(directory)
    try:
        script, _ = read_quickstart(strict, tmp_path)
        done = try_shell(script, tmp_path)
        assert done.returncode == 22  # curl's status for an HTTP error
        assert "oopback addresses are not allowed here (validation.allow_loopback_members)" in done.stdout
    finally:
        strict.stop()
        kill_processes(directory)


@pytest.mark.parametrize("guide", ["quickstart.md", "deployment.md", "keystone.md", "rabbitmq.md"])
def test_guides_have_no_command_that_hides_errors_or_loops_forever(guide: str) -> None:
    """Each curl shows its errors, and nothing is repeated endlessly."""
    text = (_DOCS / "guides" / guide).read_text()
    commands = "\n".join(
        re.findall(r"```bash\n(.*?)```", text, re.DOTALL) + re.findall(r"^ {4}(.*)$", text, re.MULTILINE)
    )
    for options in re.findall(r"\bcurl((?: -\S+)*)", commands):
        silent = re.search(r" -\w*s", options)
        assert not silent or re.search(r" -\w*S", options), f"curl{options}"
    assert not re.search(r"\b(until|while)\b", commands)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--data-dir", "/proc/portico", "--port", "0"], "the data directory /proc/portico cannot be used"),
        (["--data-dir", "{file}", "--port", "0"], "cannot be used: Not a directory"),
        (["--data-dir", "{free}", "--host", "192.0.2.1"], "192.0.2.1, port 9876: not an address of this machine"),
        (
            ["--data-dir", "{free}", "--host", "a..b"],
            "cannot listen on a..b, port 9876: not a valid host name",
        ),
        (["--prot", "80"], "No such option: --prot"),
        (["--port", "99999"], "Invalid value for '--port'"),
    ],
)
def test_obstacles_are_reported(tmp_path: Path, words: list[str], complaint: str) -> None:
    """An invalid option, or an unusable directory or address, ends the command before it starts, with a line that names
    it."""
    (tmp_path / "file").touch()
    refused = run("up", *(word.format(file=tmp_path / "file", free=tmp_path / "free") for word in words))
    assert refused.exit_code != 0
    assert complaint in refused.stderr.splitlines()[-1]
    assert not find_processes(tmp_path)


def test_a_wrong_value_in_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the variable, as it would name the setting of a file."""
    monkeypatch.setenv("PORTICO_WORKER__THREADS", "0")
    refused = run("up", "--data-dir", tmp_path, "--port", "0")
    assert (refused.exit_code, "PORTICO_WORKER__THREADS" in refused.stderr) == (1, True)


# Ends


def await_file(path: Path, process: subprocess.Popen[Any]) -> str:
    """Wait for the file, and return its content."""
    wait_until(lambda: path.exists() or process.poll() is not None, f"{path} is there")
    assert path.exists(), "the process ended before"
    return path.read_text()


def test_load_balancers_survive_a_closed_terminal_and_an_immediate_end(
    tmp_path: Path,
) -> None:
    """With --keep, a closing terminal ends it gracefully and leaves the load balancer serving. The next start takes it
    over. Signalled twice, that one ends immediately and leaves the load balancer, which cannot be removed then, still
    serving. The third one removes it."""
    command = [*PORTICO, "up", "--data-dir", str(tmp_path), "--port", "0"]
    clouds = tmp_path / "clouds.yaml"
    with ExitStack() as ending, Origin("doric") as origin:
        ending.callback(kill_processes, tmp_path)
        with in_terminal([*command, "--keep"]) as (process, terminal):
            url = re.findall(r"endpoint: (\S+)", await_file(clouds, process))[0]
            vip, vip_port = create_load_balancer(url, origin.port)
            os.close(terminal)
            assert process.wait(PATIENCE) == 0
        assert fetch(vip_port, address=vip)[1] == "doric"

        clouds.unlink()  # the next start writes it again
        with (tmp_path / "second").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            ending.callback(process.kill)
            url = re.findall(r"endpoint: (\S+)", await_file(clouds, process))[0]
            [kept] = httpx.get(f"{url}/v2/lbaas/loadbalancers", trust_env=False).json()["loadbalancers"]
            assert kept["provisioning_status"] == "ACTIVE"
            with stopped(json.loads((tmp_path / "agent" / "agent.json").read_text())["pid"]):
                assert interrupt_until_it_ends(process) == 1
                assert fetch(vip_port, address=vip)[1] == "doric"
        output = (tmp_path / "second").read_text()
        assert "1 load balancer from the last run is still running" in output
        assert "Stopped at once" in output
        assert "Traceback" not in output

        third = PorticoUp(tmp_path)
        assert third.stop() == 0, third.last_words()
        assert not is_listening(vip_port, vip)
        wait_until_ended(tmp_path)


def create_load_balancer(url: str, backend_port: int) -> tuple[str, int]:
    """Create a load balancer in front of the backend. Return the address and port where it serves."""
    vip_port = find_free_port()
    with httpx.Client(base_url=url, trust_env=False) as client:
        created = client.post("/v2/lbaas/loadbalancers", json=tree(vip_port, backend_port))
        assert created.status_code == 201, created.text
        address = str(await_active(client, created.json()["loadbalancer"]["id"])["vip_address"])
    assert fetch(vip_port, address=address)[1] == "doric"
    return address, vip_port


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Suspend a process while the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def interrupt_until_it_ends(process: subprocess.Popen[Any]) -> int:
    """Press Ctrl-C repeatedly, as people do, until the process ends. Return its exit status."""

    def press() -> bool:
        process.send_signal(signal.SIGINT)  # does nothing to a process that has ended
        return process.poll() is not None

    wait_until(press, "it ends", pause=0.3)
    return int(process.returncode)
