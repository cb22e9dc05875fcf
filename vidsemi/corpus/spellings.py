"""The name of a class → the hashtags that people write for it."""

from vidsemi.corpus.hashtags import canonical


def spellings(name: str) -> list[str]:
    """Candidate tags of a class name in canonical form, the name itself first; none where it has no letters."""
    return [tag for tag in [canonical(name)] if tag]
