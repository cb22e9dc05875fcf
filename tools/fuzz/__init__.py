"""Random damage: that no file crashes or hangs a reader, takes too much memory, or is read wrong in silence."""
