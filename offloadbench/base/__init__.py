"""What everything may use: errors, units, signals, work beside."""
