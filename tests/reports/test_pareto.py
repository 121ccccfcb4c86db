"""The frontier holds exactly the rows that no other row beats."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from reports.figures.scatter import Point, frontier, staircase

numbers = st.none() | st.integers(0, 5).map(float) | st.floats(0, 100)
tables = st.lists(st.tuples(numbers, numbers), max_size=12)


def beats(other: tuple[float, float], row: tuple[float, float]) -> bool:
    return other != row and other[0] <= row[0] and other[1] >= row[1]


@given(tables)
def test_the_rows_no_other_row_beats(rows: list[tuple[float | None, float | None]]) -> None:
    found = frontier(pd.DataFrame(rows, columns=["cost", "score"], dtype=float), "cost", "score")
    known = {(cost, score) for cost, score in rows if cost is not None and score is not None}
    expected = sorted(row for row in known if not any(beats(other, row) for other in known))
    assert list(found.itertuples(index=False, name=None)) == expected


def test_the_staircase_goes_right_then_up() -> None:
    points = [Point("a", 1, 50), Point("b", 4, 40), Point("c", 2, 70)]
    assert staircase(points, 9) == [(1, 50), (2, 50), (2, 70), (9, 70)]
