"""Why the sender waits: its queue, the bounds, the limit."""
