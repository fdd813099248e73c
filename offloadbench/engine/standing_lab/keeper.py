"""The keeper of a bench (see bench.py), a process that outlives the command that started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import msgspec

from offloadbench.base.errors import Interrupted, OffloadbenchError
from offloadbench.bed import lab_bed
from offloadbench.bed.testbed import Bed
from offloadbench.engine.options import RunOptions, check_bed
from offloadbench.engine.progress_events import Event, Note
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.engine.standing_lab.bench import Bench, BenchEnd, Reply, owner_of
from offloadbench.model import EmulatedLink
from offloadbench.model.emulated_link import link_part
from offloadbench.roles.ends import End

# how long a caller may take to say what it wants
_CALLER_S = 5.0


def _describe_end(end: End) -> BenchEnd:
    assert end.namespace is not None
    return BenchEnd(namespace=end.namespace, ifname=end.ifname, address=end.address, cpus=sorted(end.server_cpus))


def _describe(name: str, site: Site, notes: list[str]) -> Bench:
    bed = site.bed
    return Bench(
        **link_part(bed.cable),
        name=name,
        run_id=site.run_id,
        keeper_pid=os.getpid(),
        dut=_describe_end(bed.dut),
        peer=_describe_end(bed.peer),
        notes=notes,
    )


def _serve(listener: socket.socket, bench: Bench, bed: Bed) -> socket.socket:
    """Answer until somebody asks to take the bench down; returns that caller, who waits for it."""
    while True:
        caller, _ = listener.accept()
        caller.settimeout(_CALLER_S)
        with contextlib.suppress(OSError):
            if caller.recv(64).strip() == b"down":
                return caller
            caller.sendall(_encode(_report(bench, bed)))
        caller.close()


def _report(bench: Bench, bed: Bed) -> Reply:
    try:
        return Reply(bench=bench, wire=bed.report())
    except OffloadbenchError as error:
        return _failure(error)


def _failure(error: OffloadbenchError) -> Reply:
    return Reply(message=error.message, hint=error.hint, exit_code=error.exit_code)


def _encode(reply: Reply) -> bytes:
    return msgspec.json.encode(reply) + b"\n"


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def _tell_starter(reply: Reply) -> None:
    """Whoever started the keeper reads one line, to the end of the stream."""
    sys.stdout.buffer.write(_encode(reply))
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def main() -> None:
    """Keep one bench until it is asked to go, or gets SIGTERM."""
    order = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, _leave)
    settings = order["settings"] | {"link": EmulatedLink(**order["settings"]["link"])}
    options = RunOptions(cases="", workloads=[], output=Path(), nic=lab_bed.LAB, profile=False, **settings)
    notes: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    caller: socket.socket | None = None
    reply = Reply()
    try:
        check_bed(options)
        with open_site(options, note, owner_of(order["name"])) as site, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(site.folder / "control"))
            listener.listen()
            bench = _describe(order["name"], site, notes)
            site.bed.mark()
            _tell_starter(Reply(bench=bench))
            caller = _serve(listener, bench, site.bed)
    except OffloadbenchError as error:
        reply = _failure(error)
    if caller is not None:
        with caller, contextlib.suppress(OSError):
            caller.sendall(_encode(reply))
    elif reply.exit_code:
        _tell_starter(reply)


if __name__ == "__main__":
    with contextlib.suppress(Interrupted):
        main()
