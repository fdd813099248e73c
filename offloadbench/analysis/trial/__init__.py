"""What one trial says by itself: its figures, the proof of its toggle, its driver's counters."""
