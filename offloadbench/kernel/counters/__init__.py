"""Counters that the kernel or a driver keeps."""
