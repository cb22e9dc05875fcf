"""A name → a network; and what it costs."""
