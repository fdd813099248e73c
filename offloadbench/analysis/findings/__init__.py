"""What a reader is told first: findings, advice, caveats."""
