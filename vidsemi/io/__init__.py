"""Files, errors, progress and downloads."""
