"""Exact and near duplicates: hash files, find duplicates, write manifests without them, report what was checked."""
