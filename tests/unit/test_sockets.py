"""Sockets of another process, told apart by what they do; descriptors that close meanwhile are passed over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from offloadbench.kernel.system import borrowed_sockets

_OTHER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_listening_and_connected_sockets_of_another_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-c", _OTHER, str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            listens_at = int(other.stdout.readline())
            (listener,) = borrowed_sockets.listening(other.pid)
            (client,) = borrowed_sockets.connected(other.pid, ("127.0.0.1", port))
            with listener, client:
                assert listener.getsockname()[1] == listens_at
                assert client.getpeername() == ("127.0.0.1", port)
                assert borrowed_sockets.connected(other.pid, ("127.0.0.1", listens_at)) == []
            other.communicate()


def test_a_descriptor_that_has_been_closed_is_passed_over() -> None:
    process = os.pidfd_open(os.getpid())
    try:
        assert borrowed_sockets._duplicate(process, Path("/proc/self/fd/999999")) is None
    finally:
        os.close(process)
