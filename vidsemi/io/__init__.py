"""Files, tables, errors, progress and downloads."""
