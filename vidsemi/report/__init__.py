"""A run's results → tables, a plot, a page."""
