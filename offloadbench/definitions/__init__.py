"""What a user or the project defines: cases, workloads, profiles, plans, and what a NIC can do of them."""
