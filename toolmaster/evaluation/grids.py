"""A `Grid` is a table without a medium: the terminal draws it with rich, the report as HTML.

Both say the same. All text is data, never rich markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from toolmaster.evaluation.intervals import Interval

WIDTH = 100
"""Columns of what is printed as plain text."""
INTERVAL = "95% interval over tasks"


class Cell(NamedTuple):
    """A value and what qualifies it (an interval), shown fainter; `strong` values stand out."""

    value: str
    note: str = ""
    strong: bool = False


EMPTY = Cell("-")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table without a medium; the first column names the rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


class Shown:
    """Base of results that print as rich renders them."""

    def __rich__(self) -> RenderableType:
        raise NotImplementedError

    def __str__(self) -> str:
        console = Console(width=WIDTH, color_system=None)
        with console.capture() as captured:
            console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())


def render(grid: Grid) -> RenderableType:
    """Draw a grid for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for index, name in enumerate(grid.header):
        table.add_column(Text(name), justify="right" if index else "left")
    for row in grid.rows:
        table.add_row(*(_text(cell) for cell in row))
    title, caption = Text(grid.title, style="bold"), Text(grid.caption, style="dim")
    return Group(title, table, caption, Text()) if grid.caption else Group(title, table)


def _text(cell: Cell) -> Text:
    note = f" {cell.note}" if cell.note else ""
    return Text.assemble((cell.value, "bold" if cell.strong else ""), (note, "dim"))


def interval_cell(interval: Interval | None, count: int | None = None, digits: int = 1) -> Cell:
    """Write a mean with its interval, shares in percent: `31.0 [27.2, 35.1]`.

    Args:
        interval: None gives an empty cell.
        count: number of tasks that the reader expects; any other number is told as "n=8".
        digits: decimals of the interval's ends.
    """
    if interval is None:
        return EMPTY
    scale = 100 if interval.share else 1
    note = "[one task]"
    if interval.low is not None and interval.high is not None:
        note = f"[{scale * interval.low:.{digits}f}, {scale * interval.high:.{digits}f}]"
        if count not in (None, interval.count):
            note += f" n={interval.count}"
    return Cell(f"{scale * interval.mean:.1f}", note)


def model_header(models: Iterable[str], mean: str) -> tuple[str, ...]:
    """The columns of some models; a single one has its interval in a column of its own.

    Args:
        models: their names.
        mean: how the single model's mean is headed.
    """
    names = tuple(models)
    return names if len(names) > 1 else (mean, "95% interval")


def model_cells(intervals: Sequence[Interval | None], count: int) -> tuple[Cell, ...]:
    """The cells under `model_header`, one interval for each model; see `interval_cell`."""
    if len(intervals) > 1:
        return tuple(interval_cell(i, count, 0 if i and i.share else 1) for i in intervals)
    cell = interval_cell(intervals[0], count)
    return Cell(cell.value), Cell("", cell.note)


def points_cell(difference: Interval) -> Cell:
    """Write a difference in percentage points; it stands out where its interval excludes 0."""
    if difference.low is None or difference.high is None:
        return Cell(points(difference.mean), "[one task]")
    clear = difference.low > 0 or difference.high < 0
    note = f"[{points(difference.low)}, {points(difference.high)}]"
    return Cell(points(difference.mean), note, strong=clear)


def points(share: float) -> str:
    """Write a share as percentage points with a sign: `+12.0`."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"  # + 0.0: never "-0.0"


def most(intervals: Iterable[Interval | None]) -> int:
    """The greatest number of tasks behind any of some intervals."""
    return max((interval.count for interval in intervals if interval is not None), default=0)
