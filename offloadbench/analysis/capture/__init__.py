"""Captured packets, read."""
