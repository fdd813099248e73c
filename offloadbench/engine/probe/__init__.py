"""The live probe of a TCP sender's first flight: a client that acknowledges nothing until the sender repeats itself.

`frames` writes its segments, `client` speaks; `server` is the other end in the lab, `lab` varies what decides the
flight there; `remote` observes a server that is not ours.
"""
