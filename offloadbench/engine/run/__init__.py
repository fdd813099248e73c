"""A run and its trials."""
