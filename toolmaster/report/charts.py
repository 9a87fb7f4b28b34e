"""The geometry of the report's charts, in SVG user units; the template draws it.

Nothing here writes markup, so whatever a label says is escaped where the template prints it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from toolmaster.evaluation.grids import interval_cell
from toolmaster.evaluation.intervals import Interval
from toolmaster.evaluation.metrics import by_label, success_of
from toolmaster.evaluation.tables import Results

COLOURS = 6
"""Model colours the style sheet defines."""

FLAT = 1e-9
"""A range below this share of its values (and of 1) is drawn as a single value."""

LABELLED_WIDTH = 36
"""The narrowest bar with room for its value beside the whisker."""

MOST_GROUPS = 12
"""The most groups of bars that a chart has room for."""

CURVES = ("loss", "reward", "success")
"""Metrics are drawn when their name has one of these words in it."""


class Tick(NamedTuple):
    """A label at a place along an axis."""

    at: float
    text: str


class Bar(NamedTuple):
    """One bar with its whisker; `title` is what hovering shows."""

    x: float
    y: float
    width: float
    height: float
    whisker_top: float
    whisker_bottom: float
    colour: int
    label: str
    title: str

    @property
    def middle(self) -> float:
        """The x of the whisker."""
        return self.x + self.width / 2


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a chart and of the plot inside its margins."""

    width: float
    height: float
    left: float = 44
    right: float = 12
    top: float = 22
    bottom: float = 34

    @property
    def x_end(self) -> float:
        """The x of the plot's right edge."""
        return self.width - self.right

    @property
    def y_end(self) -> float:
        """The y of the plot's lower edge."""
        return self.height - self.bottom

    def x(self, share: float) -> float:
        """The x at a share (0 to 1) of the plot's width."""
        return round(self.left + share * (self.x_end - self.left), 2)

    def y(self, share: float) -> float:
        """The y at a share (0 to 1) of the plot's height, from below."""
        return round(self.y_end - share * (self.y_end - self.top), 2)


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars in groups, one colour per model."""

    frame: Frame
    bars: tuple[Bar, ...]
    groups: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class LineChart:
    """One metric of one stage over steps."""

    stage: str
    key: str
    frame: Frame
    dots: tuple[tuple[float, float], ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    last: str
    """The last value, written out."""

    @property
    def points(self) -> str:
        """The line as an SVG `points` attribute."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.dots)


def success_bars(
    results: Results, label: str, colours: Mapping[str, int] | None = None
) -> BarChart | None:
    """Success for each value of a label and each model, with 95% whiskers.

    Args:
        results: model name to trajectories of one task set.
        label: a label of the tasks, such as "family".
        colours: model name to the number of its colour; None numbers them in order.

    Returns:
        The chart, one group of bars per value; a model without a value leaves a gap. None for more
        values than a chart has room for.
    """
    colours = colours or dict(legend(list(results)))
    rows = {model: by_label(group, label) for model, group in results.items()}
    names = list(dict.fromkeys(name for of_model in rows.values() for name in of_model))
    if len(names) > MOST_GROUPS:
        return None
    frame = Frame(width=900, height=300, top=26)
    slot = 1 / max(1, len(names))
    width_share = min(0.8 * slot / max(1, len(rows)), 0.075)
    bars: list[Bar] = []
    for group, name in enumerate(names):
        start = slot * (group + 0.5) - width_share * len(rows) / 2
        for index, (model, of_model) in enumerate(rows.items()):
            if name in of_model:
                x = frame.x(start + index * width_share)
                width = 0.86 * (frame.x(width_share) - frame.left)
                success = success_of(of_model[name])
                title = f"{model}, {name}"
                bars.append(_bar(frame, x, width, colours[model], title, success))
    groups = tuple(Tick(frame.x(slot * (i + 0.5)), name) for i, name in enumerate(names))
    y_ticks = tuple(Tick(frame.y(percent / 100), f"{percent}%") for percent in range(0, 101, 25))
    return BarChart(frame, tuple(bars), groups, y_ticks)


def curves(metrics: Sequence[Mapping[str, Any]]) -> list[LineChart]:
    """One chart for each stage and each metric named after a loss, a reward or a success.

    Args:
        metrics: rows with "stage", "step" and numbers; what is not a finite number is left out.

    Returns:
        The charts, by stage in order of appearance, losses first.
    """
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in metrics:
        step = row.get("step")
        if not _finite(step):
            continue
        for key, value in row.items():
            if any(word in key for word in CURVES) and _finite(value):
                stage = str(row.get("stage", ""))
                series.setdefault((stage, key), []).append((float(step), float(value)))
    stages = list(dict.fromkeys(stage for stage, _ in series))
    keys = sorted(series, key=lambda name: (stages.index(name[0]), _rank(name[1]), name[1]))
    return [_line_chart(stage, key, sorted(series[stage, key])) for stage, key in keys]


def ticks(low: float, high: float, *, smallest: float = 0.0) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that cover a range in about four steps.

    Args:
        low: the least value shown.
        high: the greatest, above `low`.
        smallest: the least distance between two ticks.

    Returns:
        Ticks from at most `low` to at least `high`.
    """
    raw = max((high - low) / 4, smallest)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _bar(frame: Frame, x: float, width: float, colour: int, title: str, success: Interval) -> Bar:
    cell = interval_cell(success)
    low = success.mean if success.low is None else success.low
    high = success.mean if success.high is None else success.high
    told = f"{title}: {cell.value}% {cell.note}"
    return Bar(
        x=x,
        y=frame.y(success.mean),
        width=round(width, 2),
        height=round(frame.y_end - frame.y(success.mean), 2),
        whisker_top=frame.y(high),
        whisker_bottom=frame.y(low),
        colour=colour,
        label=f"{100 * success.mean:.0f}" if width >= LABELLED_WIDTH else "",
        title=told if success.low is None else f"{told}, {success.count} tasks",
    )


def _line_chart(stage: str, key: str, points: Sequence[tuple[float, float]]) -> LineChart:
    frame = Frame(width=300, height=180, right=14, top=12)
    x_ticks, x_low, x_high = _axis([x for x, _ in points], smallest=1.0)
    y_ticks, y_low, y_high = _axis([y for _, y in points])

    def place_x(value: float) -> float:
        return frame.x((value - x_low) / (x_high - x_low))

    def place_y(value: float) -> float:
        return frame.y((value - y_low) / (y_high - y_low))

    return LineChart(
        stage=stage,
        key=key,
        frame=frame,
        dots=tuple((place_x(x), place_y(y)) for x, y in points),
        x_ticks=tuple(Tick(place_x(value), f"{value:g}") for value in x_ticks),
        y_ticks=tuple(Tick(place_y(value), f"{value:.4g}") for value in y_ticks),
        last=f"{points[-1][1]:.3g}",
    )


def _axis(values: Sequence[float], *, smallest: float = 0.0) -> tuple[list[float], float, float]:
    """Ticks and the range they span; a single value gets room on both sides."""
    low, high = min(values), max(values)
    if high - low <= FLAT * max(1.0, abs(low), abs(high)):
        room = max(abs(low) / 2, smallest, 1e-3)
        low, high = low - room, high + room
    marks = [round(mark, 12) for mark in ticks(low, high, smallest=smallest)]
    return marks, marks[0], marks[-1]


def _rank(key: str) -> int:
    return next(index for index, word in enumerate(CURVES) if word in key)


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def legend(names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Names with the number of their colour."""
    return ((name, index % COLOURS) for index, name in enumerate(names))
