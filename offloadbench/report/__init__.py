"""What draws: from results to pages, plots and text."""
