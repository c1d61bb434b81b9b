"""core/histogram: what went in comes out within 1.6 %."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rlite.engine.core.histogram import Histogram

DURATIONS = st.one_of(st.integers(0, 5000), st.floats(0, 39.9).map(lambda power: int(2**power)))


def filled(durations: list[int]) -> Histogram:
    histogram = Histogram()
    for ns in durations:
        histogram.record(ns)
    return histogram


@given(st.lists(DURATIONS, min_size=1, max_size=60), st.floats(0, 100))
def test_a_percentile_is_within_two_percent_of_the_one_counted_by_hand(
    durations: list[int], share: float
) -> None:
    rank = max(math.floor(share / 100 * len(durations) + 0.5), 1)
    wanted = sorted(durations)[rank - 1]
    (got,) = filled(durations).percentiles([share])
    assert abs(got - wanted) <= 0.016 * wanted


@given(st.lists(DURATIONS, max_size=60))
def test_counts_below_powers_of_two_are_exact(durations: list[int]) -> None:
    bounds = [1 << power for power in range(10, 41)]
    assert filled(durations).below(bounds) == [sum(each < bound for each in durations) for bound in bounds]


@given(st.lists(DURATIONS, max_size=30), st.lists(DURATIONS, max_size=30))
def test_the_sum_of_two_is_one_that_counted_both(some: list[int], others: list[int]) -> None:
    merged, both = filled(some), filled(some + others)
    merged.merge(filled(others))
    shares = [0.0, 50.0, 99.9, 100.0]
    assert merged.total == both.total == len(some) + len(others)
    assert merged.percentiles(shares) == both.percentiles(shares)


def test_percentiles_come_in_the_order_they_are_asked_for() -> None:
    histogram = filled([10] * 90 + [1000] * 10)
    assert histogram.percentiles([99, 50, 99]) == [999.5, 10.0, 999.5]


def test_what_lies_beyond_the_range_counts_as_its_end() -> None:
    histogram = filled([-5, 1 << 62])
    assert histogram.total == 2
    shortest, longest = histogram.percentiles([0, 100])
    assert shortest == 0
    assert 1.08e12 < longest < 1.1e12


def test_an_empty_one_has_no_times_and_so_has_one_that_was_cleared() -> None:
    histogram = filled([5])
    histogram.clear()
    assert histogram.total == 0
    assert histogram.percentiles([50, 99]) == [0.0, 0.0]
    assert histogram.below([1 << 20]) == [0]
