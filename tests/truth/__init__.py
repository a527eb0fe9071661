"""Reference values: what numbers must be, by the papers and by plain torch."""
