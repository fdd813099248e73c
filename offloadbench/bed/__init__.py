"""Testbeds: the two ends of the traffic and what lies between them."""
