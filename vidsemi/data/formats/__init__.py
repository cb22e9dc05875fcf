"""Dataset formats → manifests."""
