"""The keeper of a bench (see bench.py), a process that outlives the command that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from offloadbench.base.errors import HostError, Interrupted, OffloadbenchError, UsageError
from offloadbench.bed import lab_bed
from offloadbench.bed.testbed import Bed
from offloadbench.engine.options import RunOptions, check_bed
from offloadbench.engine.progress_events import Event, Note
from offloadbench.engine.standing_bed import Site, open_site
from offloadbench.engine.standing_lab.bench import Bench, BenchEnd, Reply, owner_of
from offloadbench.model import EmulatedLink
from offloadbench.model.emulated_link import link_part
from offloadbench.roles.codec import (
    LINE_BYTES_MAX,
    MessageError,
    decode,
)
from offloadbench.roles.ends import End
from offloadbench.roles.messages import (
    AskBench,
    BuildBench,
    EndBench,
    Order,
)
from offloadbench.roles.orders import Desk

# how long a caller may take to say what it wants
_CALLER_S = 5.0
_NOT_UNDERSTOOD = UsageError("the bench does not understand this order", "use the offloadbench that built it")


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
            order = _order_of(caller)
            if isinstance(order, EndBench):
                return caller
            caller.sendall(_encode(_report(bench, bed) if order else _failure(_NOT_UNDERSTOOD)))
        caller.close()


def _order_of(caller: socket.socket) -> Order | None:
    """What a caller wants; None where that is not known here."""
    with caller.makefile("rb") as stream:
        line = stream.readline(LINE_BYTES_MAX + 1)
    try:
        return decode(line.rstrip(b"\n"), AskBench, EndBench)
    except MessageError:
        return None


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
    try:
        order = Desk().first(BuildBench)
        asked = msgspec.json.decode(order.settings, type=dict[str, Any])
    except (MessageError, msgspec.DecodeError) as error:
        _tell_starter(_failure(HostError(f"lab: {error}", "report this as a bug")))
        return
    signal.signal(signal.SIGTERM, _leave)
    settings = asked | {"link": EmulatedLink(**asked["link"])}
    options = RunOptions(cases="", workloads=[], output=Path(), nic=lab_bed.LAB, profile=False, **settings)
    notes: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    caller: socket.socket | None = None
    reply = Reply()
    try:
        check_bed(options)
        with open_site(options, note, owner_of(order.name)) as site, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(site.folder / "control"))
            listener.listen()
            bench = _describe(order.name, site, notes)
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
