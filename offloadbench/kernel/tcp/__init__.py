"""TCP connections as the kernel sees them."""
