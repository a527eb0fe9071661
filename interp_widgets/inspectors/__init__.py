"""From a trace or a model to data: what the views show."""
