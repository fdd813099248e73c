"""The agent at a load host: starts roles there, passes their lines on, and ends them when the engine is gone.

It is sent over as text and run from memory (`python3 -c`), so nothing has to be installed and nothing is left on the
host's disk. Standard library of Python 3.7 only, and one file.

One byte stream joins it to the engine: JSON objects, one a line. Orders carry a number `n`, answered by
`{"n": ..., "value": ...}` or `{"n": ..., "problem": ...}`; a role's lines come as `{"role": ..., "line": ...}`, its end
as `{"role": ..., "ended": ...}`. Over TCP each line is preceded by a keyed hash of it (RFC 2104), of the direction and of
its place in the stream, so that nobody on the link can order anything here.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import hmac
import json
import os
import platform
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

# an engine that is silent for so long is gone, even where nothing told the connection so
SILENCE_S = 60.0
_WORDS_BYTES = 4096
_READ_BYTES = 1 << 16
_TRY_S = 1.0
_SIOCGIFCONF, _SIOCETHTOOL, _ETHTOOL_GDRVINFO = 0x8912, 0x8946, 0x00000003
# sizeof(struct ifreq): a name of 16 bytes and a union whose largest member holds two longs (include/uapi/linux/if.h)
_IFREQ_BYTES = 40 if struct.calcsize("l") == 8 else 32
_ROLE = "import json,sys\nwith open({}) as f: given=json.load(f)\nexec(given['importer'])\nplay(given['module'],given['sources'])"


class Seal:
    """Marks lines as coming from who holds the key, each in its place; without a key lines go as they are.

    Args:
        direction: one of two names, so that no line can be sent back.
    """

    def __init__(self, key: bytes, direction: str) -> None:
        self._key = key
        self._direction = direction.encode()
        self._count = 0

    def _of(self, line: bytes) -> bytes:
        text = b"%s %d %s" % (self._direction, self._count, line)
        self._count += 1
        return hmac.new(self._key, text, hashlib.sha256).hexdigest().encode()

    def close(self, line: bytes) -> bytes:
        return self._of(line) + b" " + line if self._key else line

    def open(self, line: bytes) -> bytes:
        """The line without its seal.

        Raises:
            ValueError: the seal is not of this key, direction and place.
        """
        if not self._key:
            return line
        seal, _, rest = line.partition(b" ")
        if not hmac.compare_digest(seal, self._of(rest)):
            raise ValueError("a line without the right seal")
        return rest


def session_key(token: str, *nonces: str) -> bytes:
    """Of one connection: what both sides contributed, under the secret that both know."""
    return hmac.new(token.encode(), " ".join(nonces).encode(), hashlib.sha256).digest()


class Child:
    """A role: a process of this interpreter that imports its modules from the sources it is given."""

    def __init__(self, importer: str, module: str, sources: dict[str, str], cpus: list[int], marker: str) -> None:
        home = os.sched_getaffinity(0)
        given, giving = os.pipe()
        try:
            # a child inherits the CPUs of who starts it
            os.sched_setaffinity(0, cpus or home)
            self.process = subprocess.Popen(
                [sys.executable or "python3", "-I", "-c", _ROLE.format(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[given],
                start_new_session=True,
                env=dict(os.environ, **({"OFFLOADBENCH_RUN": marker} if marker else {})),
            )
        finally:
            os.sched_setaffinity(0, home)
            os.close(given)
        with os.fdopen(giving, "w") as stream:
            json.dump({"importer": importer, "module": module, "sources": sources}, stream)
        self.words = b""

    def hear(self, data: bytes) -> None:
        """Keep the end of what it says on standard error."""
        self.words = (self.words + data)[-_WORDS_BYTES:]

    def last_words(self) -> str:
        lines = self.words.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "exit status %s" % self.process.poll()

    def shut(self) -> None:
        """Close its input, by which it knows that it shall end."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self, grace_s: float = 2.0) -> None:
        """End it: close its input, then terminate, then kill."""
        self.shut()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
                break
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()


# ---------------------------------------------------------------- what the agent knows of its host


def about() -> dict:
    """The host."""
    return {
        "hostname": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "root": os.geteuid() == 0,
    }


def memory_bytes() -> int:
    """MemAvailable of /proc/meminfo."""
    with open("/proc/meminfo") as stream:
        rows = dict(line.split(":", 1) for line in stream)
    return int(rows["MemAvailable"].split()[0]) * 1024


def cpu() -> dict:
    """CPU seconds since boot, all CPUs: busy (neither idle nor stolen), stolen, all; proc_stat(5), guest time is in user."""
    with open("/proc/stat") as stream:
        ticks = [int(word) for word in stream.readline().split()[1:9]]
    unit = 1.0 / os.sysconf("SC_CLK_TCK")
    idle, stolen = ticks[3] + ticks[4], ticks[7]
    return {
        "t_ns": time.monotonic_ns(),
        "busy_s": (sum(ticks) - idle - stolen) * unit,
        "stolen_s": stolen * unit,
        "all_s": sum(ticks) * unit,
        "cpus": os.cpu_count(),
    }


def addresses() -> list:
    """(NIC, IPv4 address) of every address that the kernel lists (SIOCGIFCONF); a label stands for its NIC."""
    room = array.array("B", bytes(_IFREQ_BYTES * 1024))
    address, length = room.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        told = fcntl.ioctl(control, _SIOCGIFCONF, struct.pack("iP", length, address))
    used = struct.unpack("iP", told)[0]
    found = []
    for start in range(0, used, _IFREQ_BYTES):
        row = room[start : start + _IFREQ_BYTES].tobytes()
        found.append([row[:16].split(b"\0")[0].decode().split(":")[0], socket.inet_ntoa(row[20:24])])
    return found


def driver(ifname: str) -> dict:
    """Driver, its version and firmware by ETHTOOL_GDRVINFO; empty where the NIC has none."""
    info = (ctypes.c_char * 196)()
    struct.pack_into("I", info, 0, _ETHTOOL_GDRVINFO)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", ifname.encode(), ctypes.addressof(info)))
    except OSError:
        return {}
    text = [bytes(info[start : start + 32]).split(b"\0")[0].decode(errors="replace") for start in (4, 36, 68)]
    return dict(zip(("driver", "driver_version", "firmware"), text))


def nic(ifname: str) -> dict:
    """What is recorded about a NIC of the load side; features by `ethtool -k` where it is installed."""
    found = driver(ifname)
    for name, key in (("mtu", "mtu_bytes"), ("speed", "speed_mbit_per_s")):
        try:
            with open(os.path.join("/sys/class/net", ifname, name)) as stream:
                found[key] = int(stream.read())
        except (OSError, ValueError):
            found[key] = 0
    tool = shutil.which("ethtool")
    if tool:
        rows = subprocess.run([tool, "-k", ifname], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10).stdout
        pairs = [row.split(":") for row in rows.decode(errors="replace").splitlines()[1:] if row.count(":") == 1]
        found["features"] = {name.strip(): value.split()[0] == "on" for name, value in pairs if value.split()}
    return found


def reaches(address: str) -> str:
    """Empty when a host answers at `address`: by taking a connection to discard (RFC 863), or by refusing it."""
    with socket.socket() as probe:
        probe.settimeout(_TRY_S)
        code = probe.connect_ex((address, 9))
    if code in (0, errno.ECONNREFUSED):
        return ""
    return "no answer" if code == errno.EAGAIN else os.strerror(code)


def source_address(address: str) -> str:
    """The address that this host would send from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return probe.getsockname()[0]


def missing(tools: list) -> list:
    """Programs that are not installed."""
    return [tool for tool in tools if shutil.which(tool) is None]


_QUESTIONS = {
    "about": about,
    "memory": memory_bytes,
    "clock": time.monotonic_ns,
    "cpu": cpu,
    "addresses": addresses,
    "nic": nic,
    "reaches": reaches,
    "source_address": source_address,
    "missing": missing,
}


# ---------------------------------------------------------------- the agent


class Agent:
    """Serves one engine over a pair of descriptors until that side is gone or silent."""

    def __init__(self, reading: int, writing: int, key: bytes) -> None:
        self._reading, self._writing = reading, writing
        self._opening, self._closing = Seal(key, "to agent"), Seal(key, "to engine")
        self._pending = b""
        self._children = {}
        self._lines = {}
        self._ending = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(reading, selectors.EVENT_READ, self._on_order)
        self._heard_at = time.monotonic()
        self._over = False

    def say(self, message: dict) -> None:
        data = self._closing.close(json.dumps(message).encode()) + b"\n"
        while data:
            data = data[os.write(self._writing, data) :]

    def run(self) -> None:
        try:
            while not self._over:
                for key, _ in self._selector.select(0.1 if self._ending else 5.0):
                    key.data()
                for number in list(self._ending):
                    self._bury(number)
                if time.monotonic() - self._heard_at > SILENCE_S:
                    break
        finally:
            for child in self._children.values():
                child.end()

    def _on_order(self) -> None:
        data = os.read(self._reading, _READ_BYTES)
        self._heard_at = time.monotonic()
        self._over = not data
        self._pending += data
        while b"\n" in self._pending:
            line, _, self._pending = self._pending.partition(b"\n")
            self._follow(json.loads(self._opening.open(line).decode()))

    def _follow(self, order: dict) -> None:
        what = order["do"]
        if what in ("input", "shut", "signal"):
            self._tell_role(what, order)
            return
        try:
            if what == "launch":
                value = self._launch(order["role"], order["given"])
            else:
                value = _QUESTIONS[what](*order.get("given", ()))
        # whatever a question meets is the engine's to judge; the agent goes on
        except Exception as error:
            self.say({"n": order["n"], "problem": "%s: %s" % (type(error).__name__, error)})
        else:
            self.say({"n": order["n"], "value": value})

    def _launch(self, number: int, given: dict) -> int:
        child = Child(**given)
        self._children[number] = child
        self._lines[number] = b""
        self._selector.register(child.process.stdout, selectors.EVENT_READ, lambda: self._on_line(number))
        self._selector.register(child.process.stderr, selectors.EVENT_READ, lambda: self._on_words(number))
        return child.process.pid

    def _tell_role(self, what: str, order: dict) -> None:
        child = self._children.get(order["role"])
        if child is None:
            return
        if what == "input":
            # a role that is gone says so by its end
            with contextlib.suppress(OSError):
                child.process.stdin.write(order["line"].encode() + b"\n")
                child.process.stdin.flush()
        elif what == "shut":
            child.shut()
        else:
            child.process.send_signal(order["number"])

    def _on_line(self, number: int) -> None:
        child = self._children[number]
        data = os.read(child.process.stdout.fileno(), _READ_BYTES)
        if not data:
            self._selector.unregister(child.process.stdout)
            self._ending.add(number)
        *whole, self._lines[number] = (self._lines[number] + data).split(b"\n")
        for line in whole:
            self.say({"role": number, "line": line.decode(errors="replace")})

    def _on_words(self, number: int) -> None:
        child = self._children[number]
        data = os.read(child.process.stderr.fileno(), _READ_BYTES)
        child.hear(data)
        if not data:
            self._selector.unregister(child.process.stderr)

    def _bury(self, number: int) -> None:
        """Say that a role whose output has ended is gone, once it is."""
        child = self._children[number]
        if child.process.poll() is None:
            return
        self._ending.discard(number)
        # what it wrote last may still lie in the pipe
        if child.process.stderr in self._selector.get_map():
            self._on_words(number)
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.process.stderr)
        del self._children[number], self._lines[number]
        child.end()
        self.say({"role": number, "ended": child.last_words()})


def serve(reading: int, writing: int) -> None:
    """Serve the engine at the other end of ssh."""
    _serve(reading, writing, b"")


def serve_with_token(connection: socket.socket, nonce: str, token: str) -> None:
    """Serve the engine at the other end of a TCP connection, which both sides prove to be who they are."""
    own = os.urandom(16).hex()
    connection.sendall(own.encode() + b"\n")
    _serve(connection.fileno(), connection.fileno(), session_key(token, nonce, own))


def _serve(reading: int, writing: int, key: bytes) -> None:
    # who is not root finds tgtd and ethtool there too
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
    agent = Agent(reading, writing, key)
    with contextlib.suppress(BrokenPipeError, ConnectionError, ValueError):
        agent.say({"hello": about()})
        agent.run()
