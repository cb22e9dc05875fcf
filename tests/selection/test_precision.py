"""Counts of right pseudo-labels by class and rank, beside a count with loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.selection.precision import BINS, precision_by_rank

ROW = st.tuples(st.integers(0, 2), st.integers(0, 199), st.integers(-1, 2), st.booleans())  # class, rank, truth, known


@given(st.lists(ROW, max_size=60), st.integers(200, 300))
def test_each_row_is_counted_where_its_rank_lies(rows, ranks):
    label, rank, truth, known = (np.array([row[i] for row in rows], np.int64) for i in range(4))
    counts = precision_by_rank(label, rank, truth, known.astype(bool), classes=3, ranks=ranks)
    assert counts.edges[0] == 0
    assert counts.edges[-1] == ranks
    for own in range(3):
        for place in range(BINS):
            inside = [row for row in rows if row[0] == own and counts.edges[place] <= row[1] < counts.edges[place + 1]]
            assert counts.selected[own, place] == len(inside)
            assert counts.known[own, place] == sum(row[3] for row in inside)
            assert counts.right[own, place] == sum(row[3] and row[2] == own for row in inside)
    assert counts.selected.sum() == len(rows)


def test_few_ranks_have_a_bin_each():
    counts = precision_by_rank(
        np.array([0, 0, 1]), np.array([0, 2, 1]), np.array([0, 1, 1]), np.ones(3, bool), classes=2, ranks=3
    )
    assert counts.edges.tolist() == [0, 1, 2, 3]
    assert counts.selected.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert counts.right.tolist() == [[1, 0, 0], [0, 1, 0]]
