"""Plots: one file each, which exports one function from tidy tables to a matplotlib Figure."""
