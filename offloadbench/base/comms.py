"""Names under which the processes of a trial run: what a profile and `ps` show of them (comm, proc_pid_comm(5)).

A role takes its name before anything else; who asks whether a process belongs to the trial looks here too. Standard
library of Python 3.7, since load hosts have these names as well.
"""

from __future__ import annotations

from pathlib import Path

FTP_SERVER = "ob-ftp-server"
FTP_CLIENTS = "ob-ftp-clients"
STREAM_SENDER = "ob-stream"
STREAM_SINK = "ob-sink"
INITIATOR = "ob-initiator"
TARGET = "ob-target"
WIRE = "ob-wire"
MONITOR = "ob-monitor"
SYSCTLS = "ob-sysctls"
# the kernel keeps 15 characters
ROLES = (FTP_SERVER, FTP_CLIENTS, STREAM_SENDER, STREAM_SINK, INITIATOR, TARGET, WIRE, MONITOR, SYSCTLS)


def take(name: str) -> None:
    """Give this process, and the threads that it starts from now on, one of these names."""
    Path("/proc/self/comm").write_text(name)
