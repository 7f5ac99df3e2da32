"""The papers' windows on clips that can be counted by hand; more of them in the golden cases."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.paper_windows import centre_windows, evaluation_windows, training_chunks, training_starts


def test_the_last_evaluation_window_ends_with_the_clip() -> None:
    assert evaluation_windows(7, 3).tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    assert evaluation_windows(6, 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert evaluation_windows(2, 4).tolist() == [[0, 1, 1, 1]]


def test_training_chunks_have_the_clip_in_their_middle() -> None:
    assert training_chunks(5, 4).tolist() == [[0, 0, 1, 2], [3, 4, 4, 4]]
    assert training_starts(5, 4) == [-1, 3]
    assert training_chunks(1, 3).tolist() == [[0, 0, 0]]


def test_centre_windows_repeat_the_edges() -> None:
    assert centre_windows(4, 3, 2).tolist() == [[0, 0, 2], [0, 1, 3], [0, 2, 3], [1, 3, 3]]
    assert np.array_equal(centre_windows(9, 5)[:, 2], np.arange(9))


def test_nothing_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="clip of 0 frames"):
        evaluation_windows(0, 3)
