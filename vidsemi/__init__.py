"""vidsemi: train small action-recognition networks with unlabeled video (Yalniz et al. 2019)."""

__version__ = "0.1.0"
