"""The sender's TCP state, followed while it sends."""
