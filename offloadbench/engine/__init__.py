"""What does: runs, sweeps, probes, and the putting back of all that they change."""
