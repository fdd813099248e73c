"""Estimates, intervals and families of tests; figures without a subject."""
