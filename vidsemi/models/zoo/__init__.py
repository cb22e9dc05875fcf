"""Networks of other model libraries."""
