"""Timed claims, as ratios of interleaved windows. Run by hand, as root, on a quiet machine; never part of the tests."""
