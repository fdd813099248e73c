"""The story of TSO and initcwnd as text, for `offloadbench probe initcwnd --explain`."""

from __future__ import annotations

EXPLANATION = """\
TSO AND THE INITIAL CONGESTION WINDOW

What is said
  "On kernel 2.6.18 (RHEL/CentOS 5) with TSO on, the route's initcwnd has no effect." Running the send path of that
  kernel says something richer.

What the code does, with `ip route change ... initcwnd 10` and a large response
                                                              segments before the first ACK
                                                              1    5    10                       40
  first connection to a host        TSO on or off   M0        ##
  RTT cached, lots of data          TSO on          -         ##########
  RTT cached, lots of data          TSO off         M3        #########.
  RTT cached, 14480 B at once       TSO on          M1        ########..
  RTT cached, window of 5840 B      either          M4        ####......
  el5 since -128: 10 s idle, cwnd was 40, TSO on    M2        ########################################

  M0  Metrics reset. Unless the route caches an RTT (and timestamps are on, or it is 3 s or more), tcp_init_metrics
      leaves before the line that applies initcwnd: cwnd stays at 2, with TSO and without. Whoever tries a first
      connection to a host with TSO on sees this, and may well blame TSO. Fixed in 2.6.30 (86bcebafc5e7).
  M1  TSO deferral. A packet of several segments is held while the room left is below cwnd / tcp_tso_win_divisor (3),
      until an ACK comes. It costs the tail of a response that is just as long as the window. el5 since -128 fills
      packets before it pushes them: there one write of 14480 B leaves whole, two writes of 10136 B stop at 7 of 10.
      Bounded in 2.6.19 (ae8064ac32d0; the test was inverted until bd515c3e, 2.6.25); 50c8339e9299 (2015) gave IW10
      back after autosizing.
  M2  Idle restart. The quota is taken before the restart shrinks cwnd, so the first TSO packet leaves on the old
      window: the one path on which TSO makes the kernel ignore initcwnd altogether - by sending more, not less. It
      needs packets that are filled before they are pushed: el5 from build 121 (first shipped as -128), upstream
      2.6.25 to 4.2 (fixed by 6f021c62, 4.3).
  M3  Send buffer. The default tcp_wmem[1] of 16384 bytes takes 9 full packets and then blocks the writer. TSO packets
      escape it, so here TSO off is the slower one. Changed by 6ae705323b71 (2013).
  M4  The peer's window. Old clients offer 2 to 4 segments, and no cwnd helps.

How sure we are
  The figures come from executing those kernels' code, not from captures of machines that run them, and we found no
  public source that confirms the sentence. Distributions backport: take a version number as advice. What a capture
  shows wins.

Today's kernels
  Deferral needs the last send to be under 1 ms ago and a due ACK; a packet is at most half of cwnd, so ten segments
  show as 5 + 5 in two frames; pacing (BBR, fq), slow_start_after_idle and a repeated SYN-ACK (cwnd 1) matter more.

How a live probe is judged (--nic lab, or --nic NIC --server HOST)
  It acknowledges nothing until data are repeated, so no ACK can let the server send more; then it acknowledges
  everything with room for two segments, and what comes shows that more was waiting. The verdicts are those below; in
  the lab the server's tcp_info tells cwnd and a sleeping write, which captures do not show, and every flight is made
  with TSO on, TSO off, and without super-packets, which is the pair that decides about M1.

How a capture is judged (--pcap FILE --initcwnd N)
  First flight: the server's payload before an ACK of it could act. That is before the first ACK where the capture ran
  on the server, and before that ACK plus one RTT where it ran on the client; the handshake tells which.
    inconclusive             no handshake, a hole, a response that is too short, no N given, or the application paused
    exceeded, honoured       more than N segments; exactly N
    capped by window         the client's window holds no more
    paced                    segments kept coming without a pause until an ACK could act
    ignored                  data was waiting, and so little was sent that deferral cannot be why
    capped by send buffer    the nine packets of M3, or the server said so
    delayed by TSO deferral  data was waiting, and less than a third of the window was left
  A capture does not show cwnd: a flight of 8 of 10 is M1, or a cwnd of 8. The reason says so each time. An on/off pair
  decides: ethtool -K NIC tso off, the same request, and the full window shows.
  Without --initcwnd nothing is compared: the figures are printed and the verdict is inconclusive. Linux since 2.6.39
  starts with 10 (RFC 6928), so --initcwnd 10 asks for today's default.
  A burst after silence longer than the RTO is scored too; if it exceeds the window, the whole connection does.
"""
