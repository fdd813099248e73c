"""Pure functions over what was captured."""
