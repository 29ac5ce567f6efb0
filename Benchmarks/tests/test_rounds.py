from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from suite.rounds import (
    OURS,
    Effort,
    Failed,
    Series,
    alternate,
    compare,
    paired_ratio,
    spearman,
    waves_of,
)


def from_list(values: list[float], calls: list[str] | None = None, name: str = "") -> Callable[[], float]:
    """A contestant that gives the values in turn; after them it fails."""
    rest: Iterator[float] = iter(values)

    def run() -> float:
        if calls is not None:
            calls.append(name)
        try:
            return next(rest)
        except StopIteration:
            raise Failed("no more") from None

    return run


def test_the_warm_up_does_not_count_and_every_round_begins_one_further_on() -> None:
    calls: list[str] = []
    contestants = {name: from_list([99.0, 2.0, 2.0, 2.0], calls, name) for name in "abc"}
    found = alternate(contestants, Effort(rounds=3, least=0, most=100))
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert all(series.seconds == [2.0, 2.0, 2.0] for series in found.values())


def test_one_that_fails_is_not_asked_again_and_the_others_go_on() -> None:
    calls: list[str] = []
    found = alternate(
        {"a": from_list([1, 1, 1, 1], calls, "a"), "b": from_list([1, 1], calls, "b")},
        Effort(rounds=3, least=0, most=100),
    )
    assert found["b"].problem == "no more" and found["b"].median is None
    assert found["a"].problem is None and found["a"].seconds == [1, 1, 1]
    assert calls.count("b") == 3


def test_nobody_to_measure_is_no_error() -> None:
    assert alternate({}, Effort()) == {}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1.0, 5), (11.9, 5), (13.0, 4), (19.0, 3), (500.0, 3), (0.5, 8), (0.1, 25), (1e-6, 25),
     (0.0, 5), (math.nan, 5)],
)
def test_slow_work_has_fewer_rounds_and_fast_work_more(seconds: float, expected: int) -> None:
    assert Effort(rounds=5, least=4, most=60).rounds_of(seconds) == expected


def test_one_round_asked_for_stays_one_round() -> None:
    assert Effort(rounds=1, least=0, most=1).rounds_of(100) == 1


def test_a_ratio_is_paired_within_rounds() -> None:
    # The machine slows down threefold in the last two rounds: medians would say 1.0.
    ours, peer = Series([1, 1, 3, 3]), Series([2, 2, 6, 6])
    assert paired_ratio(ours, peer) == 2.0
    assert paired_ratio(Series([1.0, 2.0, 4.0]), Series([3.0, 2.0, 6.0])) == 1.5


def test_a_ratio_needs_figures_of_both() -> None:
    assert paired_ratio(Series(problem="gone"), Series([1.0])) is None
    assert paired_ratio(Series([1.0]), Series(problem="gone")) is None
    assert paired_ratio(Series(), Series()) is None


def test_the_strongest_peer_has_the_lowest_ratio_over_all_waves() -> None:
    # In the second wave everything ran twice as slow: c is stronger than b although its median is higher.
    waves = [
        {OURS: Series([1.0]), "a": Series([4.0]), "b": Series([2.0])},
        {OURS: Series([2.0]), "c": Series([3.0])},
    ]
    found = compare(waves)
    assert (found.peer, found.ratio, found.theirs) == ("c", 1.5, 3.0)
    assert found.ours == 1.5
    assert found.medians == {"a": 4.0, "b": 2.0, "c": 3.0, OURS: 1.5}


def test_without_ours_the_peers_are_still_compared() -> None:
    found = compare([{OURS: Series(problem="unknown command"), "a": Series([4.0]), "b": Series([2.0])}])
    assert (found.ours, found.peer, found.theirs, found.ratio) == (None, "b", 2.0, None)
    assert found.problems == {OURS: "unknown command"}


def test_a_wave_without_ours_does_not_compete_with_ratios() -> None:
    found = compare([
        {OURS: Series([1.0]), "a": Series([4.0])},
        {OURS: Series(problem="ended"), "b": Series([0.5])},
    ])
    assert (found.peer, found.ratio) == ("a", 4.0)


def test_a_peer_that_failed_is_a_problem_and_not_a_peer() -> None:
    found = compare([{OURS: Series([1.0]), "a": Series([0.1], problem="no compiler")}])
    assert (found.peer, found.ratio, found.problems) == (None, None, {"a": "no compiler"})


def test_peers_are_grouped_by_what_fits_beside_ours() -> None:
    needs = {"a": 5, "b": 7, "c": 2, "d": 30}
    assert waves_of(needs, ours=4, available=12) == [["a", "c"], ["b"], ["d"]]
    assert waves_of(needs, ours=4, available=100) == [["a", "b", "c", "d"]]
    assert waves_of({}, ours=4, available=1) == [[]]


def test_spearman_sees_order_only() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 1e9]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # 1 − 6·Σd²/(n(n²−1)) with d = 0, 1, −1, 0.
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    # Ties share their mean rank: ranks 1.5 1.5 3 against 1 2 3.
    assert spearman([5, 5, 6], [1, 2, 3]) == pytest.approx(math.sqrt(3) / 2)
    assert math.isnan(spearman([1, 1], [1, 2]))
    with pytest.raises(ValueError, match="expected two of one length, found 1 and 2"):
        spearman([1], [1, 2])
