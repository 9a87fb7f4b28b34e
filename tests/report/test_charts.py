"""Where charts put things."""

import itertools

import pytest

from toolmaster.report.charts import Frame, curves, success_bars, ticks
from toolmaster.types import Score, Trajectory


def rollouts(family, *outcomes):
    return [
        Trajectory(
            task_id=f"{family}/{number}",
            protocol="trial",
            policy="p",
            prompt=[],
            tools=[],
            labels={"family": family},
            score=Score.of(outcome),
        )
        for number, outcome in enumerate(outcomes)
    ]


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
    chart = success_bars({"a": rollouts("plain", *[True, False] * 50)}, "family")
    (bar,) = chart.bars
    frame = chart.frame
    assert bar.y + bar.height == pytest.approx(frame.y(0))
    whiskers = (bar.whisker_top, bar.whisker_bottom)
    assert whiskers == pytest.approx((frame.y(0.5962), frame.y(0.4038)), abs=0.02)
    assert bar.title == "a, plain: 50.0% [40.4, 59.6], 100 tasks"
    assert bar.y == frame.y(0.5)


def test_bars_of_many_models_do_not_overlap():
    group = [*rollouts("plain", True, False), *rollouts("loud", True, False)]
    bars = sorted(success_bars({f"m{i}": group for i in range(9)}, "family").bars)
    assert len(bars) == 18
    assert all(a.x + a.width <= b.x for a, b in itertools.pairwise(bars))


def test_a_missing_family_leaves_a_gap():
    rows = {"a": rollouts("plain", True), "b": rollouts("silent", True)}
    chart = success_bars(rows, "family")
    assert [group.text for group in chart.groups] == ["plain", "silent"]
    assert [bar.colour for bar in chart.bars] == [0, 1]


def test_one_task_has_no_whisker_and_many_families_no_chart():
    (bar,) = success_bars({"a": rollouts("plain", True)}, "family").bars
    assert (bar.whisker_top, bar.whisker_bottom) == (bar.y, bar.y)
    assert bar.title == "a, plain: 100.0% [one task]"
    many = [t for i in range(13) for t in rollouts(f"f{i}", True)]
    assert success_bars({"a": many}, "family") is None


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
