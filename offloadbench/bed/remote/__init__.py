"""A load side on another host, over ssh or a sealed connection."""
