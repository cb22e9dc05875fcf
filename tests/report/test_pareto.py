"""The Pareto front against its definition."""

from hypothesis import example, given
from hypothesis import strategies as st

from vidsemi.report.pareto import pareto_front

few = st.integers(0, 5).map(float)  # so that there are many ties and duplicates


@given(st.lists(st.tuples(few, few), max_size=12))
@example([])
@example([(1.0, 1.0)])
@example([(1.0, 1.0), (1.0, 1.0)])
@example([(1.0, 1.0), (1.0, 1.0), (0.0, 1.0)])
@example([(1.0, 2.0), (1.0, 1.0), (2.0, 2.0)])
def test_the_front_is_what_no_other_choice_beats(choices: list[tuple[float, float]]):
    def beaten(cost: float, gain: float) -> bool:
        return any(c <= cost and g >= gain and (c < cost or g > gain) for c, g in choices)

    front = pareto_front([cost for cost, _ in choices], [gain for _, gain in choices])
    assert front == [not beaten(*choice) for choice in choices]
