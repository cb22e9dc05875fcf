"""Networks of other model libraries, one module per library."""
