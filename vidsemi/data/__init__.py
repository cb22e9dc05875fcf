"""Manifests, decoding, transforms and samplers."""
