"""`ClassList` without a browser: its state, and the sentences of its errors."""

from __future__ import annotations

import numpy as np
import pytest
from traitlets import TraitError

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.class_list import ClassList


def test_classes_are_replaced_as_a_whole() -> None:
    classes = ClassList()
    classes.show(["a", "b", "c"], [0.1, 0.2, 0.7], selected=2, markers=[1])
    assert classes.selected == 2
    np.testing.assert_allclose(classes.probabilities(), [0.1, 0.2, 0.7], rtol=1e-6)
    classes.show(["only"])
    assert (classes.selected, classes.scores, classes.markers) == (-1, b"", [])
    classes.close()


def test_classes_refuse_what_does_not_fit_together() -> None:
    classes = ClassList(names=["a", "b"])
    with pytest.raises(InputError, match="2 classes need as many probabilities, got 3"):
        classes.set_scores([0.1, 0.2, 0.7])
    with pytest.raises(TraitError, match=r"selected must be in -1\.\.1 \(there are 2 classes\), got 2"):
        classes.selected = 2
    with pytest.raises(TraitError, match="scores must be float32 values, 4 bytes each, got 3 bytes"):
        classes.scores = b"abc"
    classes.close()
