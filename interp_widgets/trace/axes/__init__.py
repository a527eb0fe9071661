"""Which axis of a recorded tensor is what."""
