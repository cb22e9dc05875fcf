"""vidsemi: small action-recognition networks that learn from unlabelled video (Yalniz et al. 2019)."""

__version__ = "0.1.0"
