"""A load side of many hosts, over a Dask cluster."""
