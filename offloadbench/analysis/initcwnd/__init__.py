"""TSO and the initial congestion window: what kernels 2.6.18 send first, and what a capture shows.

`send_path` and `prediction` are the model of the old kernels; `verdict` judges a first flight; `capture_file`,
`packet`, `flight` and `flow` find the first flights of a capture; `story` tells the whole to a reader.
"""
