"""What the commands do: options in, a JSON document and a text out. Heavy imports happen where they are needed."""
