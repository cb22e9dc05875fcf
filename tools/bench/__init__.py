"""Benchmarks: vidsemi beside its peers and limits, each in a process of its own."""
