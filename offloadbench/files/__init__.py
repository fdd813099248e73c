"""Files of results, and how their columns are packed."""
