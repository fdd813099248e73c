"""The version, where nothing else is: what reads it imports no other part of the package."""

__version__ = "0.1.0"
