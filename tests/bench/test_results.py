"""What a run found is kept beside what earlier ones did."""

from tests.bench.figures import compared
from tests.bench.results import merged
from tests.bench.stage import Took


def test_figures_that_were_not_taken_again_stay():
    earlier = {"figures": {"a": {"ours": 1, "quick": False}, "b": {"ours": 2, "quick": False}}, "quick": False}

    results = merged(earlier, {"b": {"ours": 3}}, quick=True, rows=0)

    assert results == {
        "figures": {"a": {"ours": 1, "quick": False}, "b": {"ours": 3, "quick": True}},
        "quick": True,
        "rows": 0,
    }


def test_medians_of_the_rounds_are_compared_by_the_clock_and_by_the_processor():
    ours = [Took(seconds=2.0, cpu=1.0), Took(seconds=4.0, cpu=2.0), Took(seconds=50.0, cpu=3.0)]
    peer = [Took(seconds=1.0, cpu=0.5), Took(seconds=1.0, cpu=0.5), Took(seconds=9.0, cpu=0.5)]

    figure = compared(ours, peer, count=1000)

    assert figure == {
        "ours": 250,
        "peer": 1000,
        "ratio": 0.25,
        "ours_cpu_us": 2000.0,
        "peer_cpu_us": 500.0,
        "cpu_ratio": 0.25,
        "ours_rounds": [500, 250, 20],
        "peer_rounds": [1000, 1000, 111],
    }
