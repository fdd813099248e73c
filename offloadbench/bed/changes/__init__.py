"""Changes that are taken back by what a testbed has: a connection to another host."""
