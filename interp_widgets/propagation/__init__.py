"""Backward walks over a recorded tape by other rules than the derivative's."""
