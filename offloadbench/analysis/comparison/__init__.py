"""Cases with cases and runs with runs: which differ, and how sure that is."""
