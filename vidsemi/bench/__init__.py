"""Benchmarks beside peers and limits: `vidsemi bench`. Needs the extra `bench`."""
