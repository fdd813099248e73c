"""What samples and records: perf, tracepoints, tcpdump, and the symbols that samples need."""
