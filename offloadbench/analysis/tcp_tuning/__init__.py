"""What TCP settings a path needs, and what the present ones cost."""
