"""Reports: results of runs as tables, figures and one HTML page."""
