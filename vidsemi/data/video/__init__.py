"""Video decoding. `decode.read_video` is the entry."""
