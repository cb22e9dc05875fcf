"""Checkpoints of other frameworks: whose they are, and what their tensors are called here."""
