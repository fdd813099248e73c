"""The story of TSO and initcwnd: what was claimed, what the code does, what real kernels did.

`--explain` prints it, `--explain --output FILE.html` draws it (report/formats/story_page.py).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from offloadbench.analysis.initcwnd import evidence, verdict

_WIDTH = 118

CLAIM = "On kernel 2.6.18 (RHEL/CentOS 5) with TSO on, the route's initcwnd has no effect."
HEADLINE = (
    "True of Red Hat's 2.6.18, and only after silence: on 2.6.18-274.el5 with TSO on, 45 segments leave at once on a "
    "window of 10; with TSO off, 10."
)
TABLE = (
    "Segments that left before an ACK could act, TSO on / off (a dash: not run). initcwnd 10 unless another is named, "
    "MSS 1448 B, RTT 20 ms, a client's window of 64 KiB at first, the default send buffer."
)
FINDINGS = (
    "After 10 s of silence tcp_info of that kernel says cwnd 10 and 45 segments unacknowledged: one packet of 65160 "
    "bytes left on the old window. Vanilla 2.6.18 is free of it: 10 with TSO on and off. 2.6.27 does it with TSO off "
    "too, since GSO alone builds the same packet.",
    "On a first connection to a host TSO changes nothing: initcwnd is not applied at all, 2 segments leave. Whoever "
    "tries just that with TSO on may well blame TSO.",
    "With a cached RTT and enough data, initcwnd 10 is kept to with TSO on, and with TSO off 9 segments leave: the "
    "default send buffer is full.",
    "TSO delays the tail of a response that is just as long as the window: 8 of 10 segments on vanilla 2.6.18.",
)
CONTRADICTED = (
    "TSO packets do not always escape the send buffer: they do at initcwnd 10, but at 40 only 23 segments leave for an "
    "ordinary client (22 on 2.6.18-274.el5), and two writes of 14 segments stop at 14 of 20. A client that offers "
    "130000 bytes gets 40, since its window lets the packets grow.",
    "Deferral does not always wait for an ACK: a FIN ends it. 14480 bytes leave whole if the server closes at once, as "
    "HTTP/1.0 and FTP servers do; M1 needs a connection that stays open.",
    "The last segment of a flight that filled the send buffer has no PSH when TSO is off: the kernel sends it from "
    "inside the copy loop. With TSO on it has.",
    "M2 needs no TSO where GSO is on.",
)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """What decides a first flight.

    Attributes:
        mark: M0 to M4.
        does: what the code does.
        cure: what was seen to end it on a real kernel.
        upstream: where it was changed; "" where there is nothing to change.
    """

    mark: str
    name: str
    does: str
    cure: str
    upstream: str = ""


MECHANISMS = (
    Mechanism(
        "M0",
        "Metrics reset",
        "Unless the route caches an RTT (and timestamps are on, or it is 3 s or more), tcp_init_metrics leaves before "
        "the line that applies initcwnd: cwnd stays at 2, with TSO and without. With tcp_timestamps 0, or with "
        "tcp_no_metrics_save 1, every connection is such a first one.",
        "`ip route change ... initcwnd 10 rtt 20ms`: the first connection sends 10 (9 with TSO off, by M3).",
        "fixed in 2.6.30 (86bcebafc5e7).",
    ),
    Mechanism(
        "M1",
        "TSO deferral",
        "A packet of several segments is held while the room left is below cwnd / tcp_tso_win_divisor (3), until an "
        "ACK or a FIN comes. It costs the tail of a response that is just as long as the window. el5 since -128 fills "
        "packets before it pushes them: there one write of 14480 B leaves whole, two writes of 10136 B stop at 7 of "
        "10.",
        "`sysctl -w net.ipv4.tcp_tso_win_divisor=10` (and a send buffer that is no limit): 10 of 10.",
        "bounded in 2.6.19 (ae8064ac32d0; the test was inverted until bd515c3e, 2.6.25); 50c8339e9299 (2015) gave IW10 "
        "back after autosizing.",
    ),
    Mechanism(
        "M2",
        "Idle restart",
        "The quota is taken before the restart shrinks cwnd, so the first packet leaves on the old window: the one "
        "path on which the kernel ignores initcwnd altogether - by sending more, not less. The bound is one packet: 45 "
        "segments of 1448 B, or the old window where that is less (24 left of a cwnd of 24). It needs packets that are "
        "filled before they are pushed.",
        "TSO off on -274.el5: 10. On 2.6.27 that is not enough: GSO alone does it.",
        "in 2.6.25 to 4.2, fixed by 6f021c62 (4.3); in el5 from build 121 (first shipped as -128).",
    ),
    Mechanism(
        "M3",
        "Send buffer",
        "The default tcp_wmem[1] of 16384 bytes is spent by 9 sk_buffs of one segment, and the writer sleeps. Packets "
        "of several segments get further: far enough for initcwnd 10, not for 40.",
        "A larger send buffer (SO_SNDBUF, or the second value of tcp_wmem): 10 of 10 and 40 of 40, TSO on and off.",
        "changed in 2013 (6ae705323b71).",
    ),
    Mechanism(
        "M4",
        "The peer's window",
        "Old clients offer 2 to 4 segments, and no cwnd helps.",
        "A client with a larger window.",
    ),
)
CERTAINTY = (
    "The kernels were built from the signed tags v2.6.18 and v2.6.27 and from the public tree of 2.6.18-274.el5, their "
    "network code untouched, and ran under QEMU 7.2 with an e1000 (tx, sg and tso on), 10 ms of delay each way.",
    "875 flights of the two 2.6.18 kernels were seen by the live probe, five of each setting, none different from its "
    "like: 860 equalled the model (`--model`) in segments and bytes, the other 15 had inputs that it did not take then "
    "(a FIN, tcp_tso_win_divisor) and takes now.",
    "39 captures of them, at the server or at the client, are among the tests of this tool.",
    "Not known: QEMU's e1000 hides where one sk_buff ends and the next begins; no real hardware was used; el5 before "
    "build 121, and 2.6.30, were not run, nor a first connection whose server closes at once: by the code "
    "(tcp_cwnd_test) a FIN does not wait for cwnd either, and with TSO on all of its packet leaves. Distributions "
    "backport: take a version number as advice. What a capture "
    "shows wins.",
)
TODAY = (
    "Deferral needs the last send to be under 1 ms ago and a due ACK; a packet is at most half of cwnd, so ten "
    "segments show as 5 + 5 in two frames; pacing (BBR, fq), slow_start_after_idle and a repeated SYN-ACK (cwnd 1) "
    "matter more.",
)
LIVE = (
    "It acknowledges nothing until data are repeated, so no ACK can let the server send more; then it acknowledges "
    "everything with room for two segments, and what comes shows that more was waiting. Its window is twice what is "
    "expected, at least 65535 bytes. The verdicts are those below; in the lab the server's tcp_info tells cwnd and a "
    "sleeping write, which captures do not show, and every flight is made with TSO on, TSO off, and without GSO "
    "packets (one sk_buff of several segments), which is the pair that decides about M1.",
)
CAPTURE = (
    "First flight: the server's payload before an ACK of it could act. That is before the first ACK where the capture "
    "ran on the server, and before that ACK plus one RTT where it ran on the client; the handshake tells which, and "
    "where both ends have time stamps, the first data that echo the ACK's end the flight in any case.",
)
MEANINGS = {
    verdict.INCONCLUSIVE: "no handshake, SYN options that the snap length cuts, a hole, a capture that ends too early, "
    "a response or a write that is too short, a rest that waits for Nagle, an answer to the client, or no N given",
    verdict.HONOURED: "exactly N segments",
    verdict.EXCEEDED: "more than N segments, and more bytes than N full ones",
    verdict.EXCEEDED_IN_PACKETS: "more than N, but small ones: a stack that counts bytes stayed within its window",
    verdict.CAPPED_BY_WINDOW: "the client's window holds no more",
    verdict.PACED: "segments come one by one, without a pause of a round trip in which an ACK could act",
    verdict.IGNORED: "data was waiting, and too little left for deferral, a full send buffer or the "
    "application to be why",
    verdict.CAPPED_BY_SEND_BUFFER: "M3 fits what was sent, or the server said so",
    verdict.DELAYED_BY_DEFERRAL: "data was waiting, and less than a third of the window was left",
}
CAVEATS = (
    "A capture does not show cwnd: a flight of 8 of 10 is M1, or a cwnd of 8. Causes that look alike are named "
    "together, the likelier first: `delayed by TSO deferral or a smaller cwnd`. An on/off pair decides: "
    "`ethtool -K NIC tso off`, the same request, and the full window shows.",
    "Without --initcwnd nothing is compared: the figures are printed and the verdict is inconclusive. Linux since "
    "2.6.39 starts with 10 (RFC 6928), so --initcwnd 10 asks for today's default.",
    "A burst after silence longer than the RTO is scored too; if it exceeds the window, the whole connection does.",
    "TCP is found inside VLANs, LLC/SNAP, PPPoE, PPP, MPLS, GRE, ERSPAN, IP in IP, AH, VXLAN, GENEVE and GTP, in any "
    "nest of up to 32 headers; frames that give no segment are counted by reason.",
)


def _wrapped(text: str, indent: str = "  ", first: str | None = None) -> list[str]:
    plain = text.replace("`", "")
    return textwrap.wrap(
        plain, _WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _points(points: tuple[str, ...]) -> Iterator[str]:
    for point in points:
        yield from _wrapped(point, "    ", "  - ")


def _lines() -> Iterator[str]:
    yield "TSO AND THE INITIAL CONGESTION WINDOW"
    yield from ("", "What was claimed", *_wrapped(f'"{CLAIM}"'))
    yield from ("", "What real kernels did", *_wrapped(HEADLINE), "")
    yield from _wrapped(TABLE)
    yield from (f"  {line}".rstrip() for line in evidence.text())
    yield ""
    yield from _points(FINDINGS)
    yield from ("", "What the code does")
    for one in MECHANISMS:
        yield from _wrapped(f"{one.name}. {one.does}", "      ", f"  {one.mark}  ")
        yield from _wrapped(f"Cure: {one.cure}", "      ")
        if one.upstream:
            yield from _wrapped(f"Upstream: {one.upstream}", "      ")
    yield from ("", "What this text said before, and real kernels contradict", *_points(CONTRADICTED))
    yield from ("", "How sure we are", *_points(CERTAINTY))
    yield from ("", "Today's kernels", *(line for text in TODAY for line in _wrapped(text)))
    yield from ("", "How a live probe is judged (--nic lab, or --nic NIC --server HOST)")
    yield from (line for text in LIVE for line in _wrapped(text))
    yield from ("", "How a capture is judged (--pcap FILE --initcwnd N)")
    yield from (line for text in CAPTURE for line in _wrapped(text))
    column = max(map(len, MEANINGS)) + 6
    for word, meaning in MEANINGS.items():
        yield from _wrapped(meaning, " " * column, f"    {word}".ljust(column))
    yield from (line for text in CAVEATS for line in _wrapped(text))


def explanation() -> str:
    """All of it as plain text."""
    return "\n".join(_lines()) + "\n"
