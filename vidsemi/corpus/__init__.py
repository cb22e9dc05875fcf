"""Manifests and the formats that users bring. No pixels."""
