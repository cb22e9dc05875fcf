"""The functions of the Python API, which `vidsemi` exports and the command line calls."""
