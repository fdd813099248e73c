"""Sections of a report: one file each, with its tables, plots, captions and sentences; all are found here."""
