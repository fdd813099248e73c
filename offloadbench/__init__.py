"""offloadbench: what each network offload is worth on your NIC, kernel and load."""

__version__ = "0.1.0"
