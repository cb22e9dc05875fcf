"""Hashtags → labels."""
