"""The text of perf script, from a real recording of tracepoints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from offloadbench.kernel.trace import tracepoints


def test_packet_shapes_are_counted_by_tracepoint(data: Path) -> None:
    text = (data / "perf_trace.txt").read_text()
    shapes = {packets.tracepoint: packets.shapes for packets in tracepoints.count_shapes(text.splitlines())}
    assert set(shapes) == {"net:net_dev_queue", "net:net_dev_start_xmit", "net:netif_rx_entry"}
    for name, rows in shapes.items():
        lines = [line for line in text.splitlines() if f"{name}:" in line]
        assert sum(row[3] for row in rows) == len(lines)
        lengths = Counter(next(int(w[4:]) for w in line.split() if w.startswith("len=")) for line in lines)
        found: Counter[int] = Counter()
        for row in rows:
            found[row[0]] += row[3]
        assert found == lengths
    # net_dev_queue has neither field; over loopback every packet keeps ip_summed 3 (CHECKSUM_PARTIAL)
    assert {(row[1], row[2]) for row in shapes["net:net_dev_queue"]} == {(-1, -1)}
    sizes = {int(word[9:]) for word in text.split() if word.startswith("gso_size=")}
    assert {(row[1], row[2]) for row in shapes["net:net_dev_start_xmit"]} == {(size, 3) for size in sizes}


def test_a_super_packet_keeps_its_segment_size(data: Path) -> None:
    real = next(line for line in (data / "perf_trace.txt").read_text().splitlines() if "start_xmit" in line)
    line = real.replace("len=74 data_len=0", "len=65226 data_len=65160").replace("gso_size=0", "gso_size=1448")
    assert line != real
    assert tracepoints.count_shapes([line, "# noise", line])[0].shapes == [[65226, 1448, 3, 2]]


def test_of_what_perf_says_when_it_refuses_its_error_is_the_reason() -> None:
    # perf 6.1, whose caller may not enter tracefs
    said = """event syntax error: 'net:net_dev_queue'
                     \\___ can't access trace events

Error:\tNo permissions to read /sys/kernel/tracing/events/net/net_dev_queue
Hint:\tTry 'sudo mount -o remount,mode=755 /sys/kernel/tracing/'

Run 'perf list' for a list of valid events

 Usage: perf record [<options>] [<command>]

    -e, --event <event>   event selector. use 'perf list' to list available events
"""
    assert tracepoints.reason(said) == "No permissions to read /sys/kernel/tracing/events/net/net_dev_queue"
    assert tracepoints.reason("failed to open evidence.perf.data\n") == "failed to open evidence.perf.data"
    assert tracepoints.reason("") == "no message"
