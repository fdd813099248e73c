"""A lab link that stays until it is taken down."""
