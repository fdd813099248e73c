"""What builds the documentation and the packages; not installed."""
