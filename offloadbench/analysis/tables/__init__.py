"""Tables that are exported and shown."""
