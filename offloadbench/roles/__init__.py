"""Processes that this program starts, here or on another host: their two ends, orders and names."""
