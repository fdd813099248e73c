"""The other host in parts: what is sent, who may speak, which addresses, whose clock, what a loss means."""

from __future__ import annotations

import ast
import ipaddress
import os
import queue
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offloadbench.base.errors import HostError, TrafficError, UsageError
from offloadbench.bed.remote import addresses, clock, seal, sealed_connection, sources, ssh, wait
from offloadbench.bed.remote.sealed_connection import AgentConnection
from offloadbench.roles.codec import digest, encode, greeting
from offloadbench.roles.ends import accompany
from offloadbench.roles.messages import (
    AddressesThere,
    AskAddresses,
    AskClock,
    AskCpu,
    AskMissing,
    AskReach,
    AskSource,
    AskSysctl,
    ClockThere,
    CountNow,
    CpuThere,
    DrainInitiator,
    Hello,
    HostAbout,
    MissingThere,
    OpenSink,
    ReachThere,
    SetSysctl,
    SinkCounted,
    SinkListening,
    SinkReady,
    SourceThere,
    SysctlThere,
)
from offloadbench.version import __version__
from tests.unit.loopback import LoopbackEnd

ROLES = (
    "offloadbench.traffic.ftp.ftp_clients",
    "offloadbench.traffic.stream.sink",
    "offloadbench.traffic.iscsi.target",
)
AGENT = "offloadbench.bed.remote.agent"
HOST = HostAbout("loader", "6.1", "x86_64", "3.7.2", 2, root=True)


# ---------------------------------------------------------------- what is sent


@pytest.mark.parametrize("module", [*ROLES, AGENT])
def test_what_is_sent_to_a_load_host_needs_the_standard_library_only(module: str) -> None:
    parts = sources.closure(module)
    assert module in parts
    for text in parts.values():
        for name in sources.imported(text):
            root = name.partition(".")[0]
            assert root in sys.stdlib_module_names or root == "offloadbench", name


@pytest.mark.parametrize("module", [*ROLES[:2], AGENT])
def test_what_every_load_host_runs_is_python_3_7(module: str) -> None:
    for name, text in [*sources.closure(module).items(), ("importer", sources.importer())]:
        ast.parse(text, name, feature_version=(3, 7))


def test_a_module_is_sent_with_what_it_imports_and_nothing_else() -> None:
    ours = {
        f"offloadbench.{name}"
        for name in ("roles.orders", "roles.codec", "roles.messages", "base.comms", "kernel.system.open_files")
    }
    assert set(sources.closure(ROLES[0])) == {ROLES[0], *ours}
    assert sources.closure("offloadbench.no_such_module") == {}


# ---------------------------------------------------------------- seals


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=5))
def test_sealed_lines_open_in_their_order(lines: list[bytes]) -> None:
    ours, theirs = seal.Seal(b"key", "to agent"), seal.Seal(b"key", "to agent")
    assert [theirs.open(ours.close(line)) for line in lines] == lines


def test_a_line_of_another_key_direction_or_place_is_refused() -> None:
    line = seal.Seal(b"key", "to agent").close(b"{}")
    later = seal.Seal(b"key", "to agent")
    later.open(line)
    for reader in (seal.Seal(b"other", "to agent"), seal.Seal(b"key", "to engine"), later):
        with pytest.raises(ValueError, match="without the right seal"):
            reader.open(line)
    with pytest.raises(ValueError, match="without the right seal"):
        seal.Seal(b"key", "to agent").open(line[:-2] + b"[]")


def test_keys_depend_on_the_token_and_on_both_sides() -> None:
    keys = {seal.session_key(*words) for words in (("t", "a", "b"), ("t", "b", "a"), ("u", "a", "b"), ("t", "a", "c"))}
    assert len(keys) == 4


# ---------------------------------------------------------------- an agent of flesh and blood, on a pipe


class Pipe:
    """The real agent as a process of this machine, as a `Stream`."""

    def __init__(self, program: bytes = sources.agent("agent.serve(0, 1)"), greeting: str = "") -> None:
        code = f"print({greeting!r}, end='', flush=True)\nf=open(0,'rb',closefd=False)\nexec(f.read(int(f.readline())))"
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.write(b"%d\n" % len(program) + program)

    def read(self) -> bytes:
        assert self.process.stdout is not None
        return os.read(self.process.stdout.fileno(), 1 << 16)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def ended(self) -> str:
        return "the connection was closed"

    def words(self) -> str:
        return ""

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def test_an_agent_answers_and_says_what_it_cannot() -> None:
    agent = AgentConnection(Pipe(greeting="Welcome to this host!\n{}\n"), "here")
    try:
        assert agent.about.cpus == os.cpu_count()
        assert ("lo", "127.0.0.1") in agent.ask(AskAddresses(), AddressesThere).pairs
        assert agent.ask(AskMissing(("sh", "no-such-program")), MissingThere).tools == ("no-such-program",)
        assert agent.ask(AskSource("127.0.0.1"), SourceThere).address == "127.0.0.1"
        assert agent.ask(AskReach("127.0.0.1"), ReachThere).problem == ""
        first, last = agent.ask(AskCpu(), CpuThere), agent.ask(AskCpu(), CpuThere)
        assert 0 < first.busy_s <= last.busy_s <= last.all_s
        offset = clock.estimate(lambda: agent.ask(AskClock(), ClockThere).t_ns)
        # it is this machine's own clock
        assert abs(offset.offset_s) <= offset.uncertainty_s
        with pytest.raises(TrafficError, match="here was to read a sysctl: ask sysctl: name holds a NUL"):
            agent.ask(AskSysctl("a\0b"), SysctlThere)
        with pytest.raises(TrafficError, match=r"here was to set a sysctl: sysctl no\.such"):
            agent.ask(SetSysctl("no.such", "1"), SysctlThere)
        with pytest.raises(TrafficError, match="an agent does not wait for the commands"):
            agent.ask(DrainInitiator(), SysctlThere)
        assert not agent.lost
    finally:
        agent.close()


def test_a_role_is_played_from_memory_and_ends_with_its_input() -> None:
    agent = AgentConnection(Pipe(), "here")
    try:
        role = agent.launch(ROLES[1], "the sink", "")
        assert role.request(OpenSink("127.0.0.1", 1, 0, 1), SinkListening, 20).port > 0
        assert role.request(CountNow(), SinkCounted, 10).payload_bytes == 0
        role.close()
        assert not role.running()
        broken = agent.launch(ROLES[1], "the sink", "")
        with pytest.raises(TrafficError, match=r"the sink \(here\): 'count now' came instead of 'open sink'"):
            broken.request(CountNow(), SinkListening, 20)
        elsewhere = agent.launch(ROLES[1], "the sink", "")
        with pytest.raises(
            TrafficError, match=r"the sink \(here\): address = '192.0.2.77': Cannot assign requested address"
        ):
            elsewhere.request(OpenSink("192.0.2.77", 1, 0, 1), SinkListening, 20)
    finally:
        agent.close()


def test_a_lost_agent_ends_whoever_waits_for_it() -> None:
    stream = Pipe()
    agent = AgentConnection(stream, "there")
    role = agent.launch(ROLES[1], "the sink", "")
    stream.process.kill()
    with pytest.raises(TrafficError, match=r"the sink \(there\) ended unasked: there: the connection was closed"):
        role.receive(SinkListening, 20)
    # and whoever waits for a role of this host
    here = LoopbackEnd().launch(ROLES[1], "the sender")
    accompany(here, role)
    try:
        with pytest.raises(
            TrafficError, match=r"^the sink \(there\) ended unasked: there: .*, while the sender \(this ho"
        ):
            here.receive(SinkReady, 50)
    finally:
        here.close()
    with pytest.raises(TrafficError, match="the load side is gone: there"):
        agent.check()
    with pytest.raises(TrafficError, match="the load side is gone"):
        agent.ask(AskClock(), ClockThere)
    role.close()
    agent.close()


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (b'{"hello":{"hostname":"old"}}', f"older than this one, {__version__}"),
        (encode(Hello("9.9", digest(), HOST)), f"'9.9', and here it is '{__version__}'"),
        (encode(Hello(__version__, "0123", HOST)), f"another build of {__version__}"),
        (b'{"is":"Hello","version":"9.9","new":{"fields":[1]}}', "'9.9', and here it is"),
    ],
)
def test_a_load_host_of_another_version_is_refused_in_one_line(
    there: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"import sys, time; sys.stdout.write({there.decode()!r} + chr(10)); sys.stdout.flush(); time.sleep(9)"
    stream = Pipe(program.encode())
    # as sshd's banner on standard error
    monkeypatch.setattr(stream, "words", lambda: "Authorized use only")
    try:
        with pytest.raises(HostError, match=f"^ssh://old: offloadbench there is.*{re.escape(says)}") as caught:
            AgentConnection(stream, "ssh://old")
        assert caught.value.hint == "install the same version on both hosts"
        assert "\n" not in caught.value.message
    finally:
        stream.process.kill()


class Silent:
    """A stream that greets and then says nothing more, as a host whose link went down."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._said.put(encode(Hello(__version__, digest(), HOST)) + b"\n")

    def read(self) -> bytes:
        return self._said.get()

    def write(self, data: bytes) -> None:
        del data

    def ended(self) -> str:
        return "the connection was closed"

    def words(self) -> str:
        return ""

    def close(self) -> None:
        self._said.put(b"")


def test_a_silent_agent_is_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_connection, "_HEARTBEAT_S", 0.02)
    monkeypatch.setattr(sealed_connection, "SILENCE_S", 0.1)
    agent = AgentConnection(Silent(), "there")
    with pytest.raises(TrafficError, match="silent for"):
        agent.ask(AskClock(), ClockThere, timeout_s=20.0)


def test_who_is_no_agent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_connection, "_HELLO_S", 5.0)
    with pytest.raises(TrafficError, match="here: no agent"):
        AgentConnection(Pipe(b"print('no agent')"), "here")


# ---------------------------------------------------------------- clocks and addresses


def test_an_offset_is_known_to_half_of_the_quickest_round_trip() -> None:
    ahead_ns = 5 * 10**9
    offset = clock.estimate(lambda: time.monotonic_ns() + ahead_ns)
    assert abs(offset.offset_s - 5.0) <= offset.uncertainty_s < 0.01


OWN = [ipaddress.IPv4Interface("192.0.2.1/24"), ipaddress.IPv4Interface("198.51.100.1/30")]


def _choose(theirs: list[tuple[str, str]], nic: str = "", address: str = "") -> tuple[str, str, str]:
    found = addresses.choose(OWN, theirs, nic, address, "ssh://host")
    return found.ifname, found.address, found.dut_address


def test_the_address_in_the_network_of_the_nic_is_found() -> None:
    theirs = [("lo", "127.0.0.1"), ("eth0", "203.0.113.9"), ("eth1", "198.51.100.2")]
    assert _choose(theirs) == ("eth1", "198.51.100.2", "198.51.100.1")


@pytest.mark.parametrize(
    ("theirs", "nic", "says"),
    [
        ([("eth0", "203.0.113.9")], "", "no address in 192.0.2.0/24, 198.51.100.0/30"),
        ([("eth1", "192.0.2.2"), ("eth2", "192.0.2.3")], "", "several addresses in that network: eth1 192.0.2.2, eth2"),
        ([("eth1", "192.0.2.2")], "eth9", "no address on a NIC eth9: it has eth1 192.0.2.2"),
        # both ends would be this machine
        ([("eth1", "192.0.2.1")], "", "no address in"),
    ],
)
def test_hosts_that_share_no_link_are_told_so(theirs: list[tuple[str, str]], nic: str, says: str) -> None:
    with pytest.raises(HostError, match=says):
        _choose(theirs, nic)


def test_the_user_decides_between_several() -> None:
    theirs = [("eth1", "192.0.2.2"), ("eth2", "192.0.2.3")]
    assert _choose(theirs, nic="eth2")[1] == "192.0.2.3"
    assert _choose(theirs, address="192.0.2.2")[0] == "eth1"


# ---------------------------------------------------------------- how a load host is named


def test_a_load_host_is_named_as_a_url() -> None:
    host = ssh.parse("ssh://me@host:2222?nic=eth1&address=192.0.2.2&python=/opt/python3")
    assert (host.destination, host.port, host.nic, host.address) == ("me@host", 2222, "eth1", "192.0.2.2")
    command = ssh.command(host, [host.python, "-c", "import os;print('x')"])
    assert command[0] == "ssh"
    assert command[-3:] == ["--", "me@host", "/opt/python3 -c 'import os;print('\"'\"'x'\"'\"')'"]
    assert ssh.parse("ssh://host").where == "ssh://host"


def test_another_ssh_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLOADBENCH_SSH", "no-such-ssh -F file")
    with pytest.raises(HostError, match="no-such-ssh is not installed"):
        ssh.require()


@pytest.mark.parametrize(
    "text",
    ["ssh://", "ssh://u:secret@host", "ssh://host/path", "ssh://host:port", "ssh://host?colour=red", "ssh://h?nic"],
)
def test_what_is_no_load_host_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"--peer ssh://"):
        ssh.parse(text)


def test_ports_to_wait_at() -> None:
    assert wait.parse_port("wait") == wait.DEFAULT_PORT
    assert wait.parse_port("wait:99") == 99
    for text in ("wait:", "wait:x", "wait:0x1", "wait:99999", "waiting"):
        with pytest.raises(UsageError, match="not a port to wait at"):
            wait.parse_port(text)


def test_the_printed_line_runs_what_it_names_and_shows_no_token_to_ps() -> None:
    said: list[str] = []
    host = wait.WaitingHost("127.0.0.1", 0, said.append)
    try:
        token, _, rest = host.line.removeprefix("echo ").partition(" | ")
        assert token not in rest
        assert sources.sha256(wait.program()) in rest
        asked = wait.asked_for(host.line)
        assert asked is not None
        assert (asked[0], asked[2]) == ("127.0.0.1", token)
        # nothing but the very line is followed
        for other in (f"{host.line}; reboot", host.line.replace("sys.exit", "sys.exec"), "echo x", ""):
            assert wait.asked_for(other) is None
    finally:
        host.close()


def test_an_agents_stream_holds_json_lines_only() -> None:
    stream = Pipe()
    try:
        assert greeting(stream.read().rstrip(b"\n"), __version__).host.cpus == os.cpu_count()
    finally:
        stream.close()


@pytest.mark.parametrize(
    ("stderr", "stdout", "said"),
    [
        (
            "Could not chdir to home directory /nonexistent: No such file",
            "This account is not available.",
            "This account",
        ),
        ("Could not chdir to home directory /nonexistent: No such file", "", "ssh ended with status 1"),
        ("x: Permission denied (publickey).", "Welcome", "Permission denied"),
    ],
)
def test_what_a_login_shell_says_is_the_reason(
    stderr: str, stdout: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "ssh"
    shell.write_text(f"#!/bin/sh\necho '{stderr}' >&2\n[ -z '{stdout}' ] || echo '{stdout}'\nexit 1\n")
    shell.chmod(0o755)
    monkeypatch.setenv(ssh.COMMAND, str(shell))
    with pytest.raises(TrafficError, match=said):
        ssh.parse("ssh://nobody@loader").connect()
