"""One file for each interface of the kernel."""
