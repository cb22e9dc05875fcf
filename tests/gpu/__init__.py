"""Tests on a real GPU: `make test-gpu`."""
