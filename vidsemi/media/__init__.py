"""A manifest row → uint8 views."""
