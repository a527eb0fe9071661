"""Parts of the screen that know no Session; each ``.py`` with its ``.js`` beside it."""
