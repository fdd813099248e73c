"""One network device: what it is, what it can do, how it is set."""
