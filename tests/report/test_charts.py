"""Where charts put things."""

import itertools

import pytest

from toolmaster.evaluation.metrics import Interval, summarize
from toolmaster.report.charts import Frame, curves, success_bars, ticks
from toolmaster.types import Trajectory


def summary(mean, low, high):
    bare = Trajectory(task_id="t", protocol="trial", policy="p", prompt=[], tools=[])
    interval = Interval(mean=mean, low=low, high=high)
    return summarize([bare]).model_copy(update={"success": interval})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 50, 100]),
        (0, 1, [0, 0.5, 1]),
        (0, 60, [0, 20, 40, 60]),
        (-0.3, 0.4, [-0.4, -0.2, 0, 0.2, 0.4]),
        (7, 8, [7, 7.5, 8]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_keep_their_least_distance():
    assert ticks(0, 2, smallest=1.0) == [0, 1, 2]


def test_frame_turns_the_y_axis_upwards():
    frame = Frame(width=100, height=100, left=10, right=10, top=20, bottom=20)
    assert (frame.x(0), frame.x(1), frame.y(0), frame.y(1), frame.y(0.5)) == (10, 90, 80, 20, 50)


def test_bars_stand_on_the_axis_and_whiskers_span_the_interval():
    chart = success_bars({"a": {"plain": summary(0.5, 0.25, 0.75)}})
    (bar,) = chart.bars
    frame = chart.frame
    assert bar.y + bar.height == pytest.approx(frame.y(0))
    assert (bar.whisker_top, bar.whisker_bottom) == (frame.y(0.75), frame.y(0.25))
    assert bar.y == frame.y(0.5)


def test_bars_of_many_models_do_not_overlap():
    rows = {f"m{i}": dict.fromkeys(("plain", "loud"), summary(0.5, 0.2, 0.8)) for i in range(9)}
    bars = sorted(success_bars(rows).bars)
    assert len(bars) == 18
    assert all(a.x + a.width <= b.x for a, b in itertools.pairwise(bars))


def test_a_missing_family_leaves_a_gap():
    rows = {"a": {"plain": summary(1, 1, 1)}, "b": {"silent": summary(1, 1, 1)}}
    chart = success_bars(rows)
    assert [group.text for group in chart.groups] == ["plain", "silent"]
    assert [bar.colour for bar in chart.bars] == [0, 1]


def test_a_curve_runs_from_corner_to_corner_in_step_order():
    rows = [{"stage": "sft", "step": step, "loss": loss} for step, loss in ((4, 0.0), (0, 4.0))]
    (chart,) = curves(rows)
    frame = chart.frame
    assert chart.dots == ((frame.left, frame.top), (frame.x_end, frame.y_end))
    assert chart.last == "0"


def test_a_single_point_has_room_around_it():
    (chart,) = curves([{"stage": "sft", "step": 5, "loss": 0.0}])
    ((x, y),) = chart.dots
    assert chart.frame.left < x < chart.frame.x_end
    assert chart.frame.top < y < chart.frame.y_end


@pytest.mark.parametrize(
    "values", [(1.98, 1.9799999999999998), (0.0, 1e-12), (-1e9, -1e9 + 0.5), (2.0, 2.0)]
)
def test_a_nearly_flat_curve_has_room_around_it(values):
    (chart,) = curves([{"stage": "g", "step": i, "reward": v} for i, v in enumerate(values)])
    assert all(chart.frame.top < y < chart.frame.y_end for _, y in chart.dots)
    assert len({tick.text for tick in chart.y_ticks}) > 1


def test_only_named_metrics_that_are_numbers_are_drawn():
    rows = [{"stage": "g", "step": 1, "reward": 1.0, "lr": 1.0, "loss": None, "success": "yes"}]
    assert [(chart.stage, chart.key) for chart in curves(rows)] == [("g", "reward")]
