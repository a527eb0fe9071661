"""Arrays to pixels and figures; no torch graph, no widget."""
