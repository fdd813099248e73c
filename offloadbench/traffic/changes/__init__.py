"""Changes that are taken back by programs of a kind of traffic."""
