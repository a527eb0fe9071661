"""Everything that shows something in a notebook; ipywidgets, anywidget and ipycanvas live here and nowhere else."""
