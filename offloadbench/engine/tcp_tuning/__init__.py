"""Settings of TCP applied, and shown to be enough."""
