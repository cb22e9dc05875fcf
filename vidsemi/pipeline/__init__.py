"""A config → stages → results."""
