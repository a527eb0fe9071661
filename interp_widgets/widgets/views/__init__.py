"""Each view shows one thing of a Session."""
