"""Benchmarks of vidsemi against peers and limits. Every run is a fresh process."""
