"""Tables of results, with the same content in the terminal (rich) and in the report (HTML).

Every table of a measurement has one row for each figure, family or task set and one column for each
model. All text in it is data, never rich markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from toolmaster.evaluation.intervals import Interval
from toolmaster.evaluation.metrics import SHARES
from toolmaster.progress import safe_console

if TYPE_CHECKING:
    from toolmaster.evaluation.evaluation import Evaluation

WIDTH = 100
"""Width of printed text, in characters."""
INTERVAL = "95% interval over tasks"
FAMILY = "family"
"""The label by which task sets group their tasks."""
Results: TypeAlias = "Sequence[Evaluation]"
"""One evaluation per model, in the order of their training."""
Value = Interval | float


class Cell(NamedTuple):
    """A value and what qualifies it, such as its interval."""

    value: str
    note: str = ""
    """Shown fainter."""
    strong: bool = False
    """Whether the value stands out."""
    share: Interval | None = None
    """The share that the report draws as a bar."""


class Shown:
    """Base class of results whose `str` is the text that rich renders."""

    def __rich__(self) -> RenderableType:
        raise NotImplementedError

    def __str__(self) -> str:
        console = safe_console(width=WIDTH, color_system=None)
        with console.capture() as captured:
            console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())


@dataclass(frozen=True)
class Grid(Shown):
    """A table; the first column names the rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str

    def __rich__(self) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, header_style="bold")
        for index, name in enumerate(self.header):  # fold: no number is cut in a narrow terminal
            table.add_column(Text(name), justify="right" if index else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(_text, row))
        return Group(Text(self.title, "bold"), table, Text(f"{self.caption}\n", "dim"))


def _text(cell: Cell) -> Text:
    note = f" {cell.note}" if cell.note else ""
    return Text.assemble((cell.value, "bold" if cell.strong else ""), (note, "dim"))


def cell(value: Value | None, tasks: int | None = None) -> Cell:
    """Return a figure with its interval: `31.0% [27, 35]`.

    Args:
        value: a plain number has no interval; None gives a dash.
        tasks: the number of tasks of the row; a cell with another number shows it ("n=8").
    """
    if value is None:
        return Cell("-")
    if not isinstance(value, Interval):
        return Cell(f"{value:.1f}")
    note = "[one task]"
    if value.low is not None and value.high is not None:
        note = f"[{100 * value.low:.0f}, {100 * value.high:.0f}]"
        note += f" n={value.count}" if tasks not in (None, value.count) else ""
    return Cell(f"{100 * value.mean:.1f}%", note, share=value)


def points(share: float) -> str:
    """Return a share as percentage points with a sign: `+12.0`."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"  # + 0.0: never "-0.0"


def points_cell(difference: Interval) -> Cell:
    """Return a difference in percentage points, strong if its interval excludes 0."""
    if difference.low is None or difference.high is None:
        return Cell(points(difference.mean), "[one task]")
    clear = difference.low > 0 or difference.high < 0
    note = f"[{points(difference.low)}, {points(difference.high)}]"
    return Cell(points(difference.mean), note, strong=clear)


def run_grids(results: Results) -> list[Grid]:
    """Return the tables for a terminal: success by task set, then figures and families of each."""
    labels = sets_of(results)
    grids = [sets_grid(results)] if len(labels) > 1 else []
    for label in labels:
        part = of_set(results, label)
        families = family_grid(part, f"Success by family on {label}")
        grids += [figures_grid(part, f"Figures on {label}"), *filter(None, [families])]
    return grids


def sets_grid(results: Results) -> Grid:
    """Return the table of success on each task set."""
    columns = [{name: part.success for name, part in e.by("taskset").items()} for e in results]
    return _grid("Success by task set", results, columns, f"{INTERVAL}{_not_counted(results)}")


def figures_grid(results: Results, title: str = "Figures") -> Grid:
    """Return the table of all figures on one task set, and of what a rollout costs."""
    columns: list[dict[str, Value]] = [
        {**e.figures, **e.effort} if e.rollouts else {} for e in results
    ]
    caption = f"{INTERVAL}; numbers without one: per rollout{_not_counted(results)}"
    grid = _grid(title, results, columns, caption)
    rows = [
        (Cell(name.value.replace("_", " ")), *cells)
        for name, *cells in grid.rows
        # a value or part that equals success would only repeat it
        if name == grid.rows[0][0] or name.value in SHARES or tuple(cells) != grid.rows[0][1:]
        if any(cell.value not in ("", "-", "0.0") for cell in cells)  # such as trials of a replay
    ]
    return replace(grid, rows=tuple(rows))


def family_grid(results: Results, title: str = "Success by family") -> Grid | None:
    """Return success on each family (a task set's own categories); None if there is only one."""
    columns = [{name: part.success for name, part in e.by(FAMILY).items()} for e in results]
    grid = _grid(title, results, columns, INTERVAL)
    return grid if len(grid.rows) > 1 else None


def errors_grid(results: Results) -> Grid | None:
    """Return the shares of reasons why rollouts failed; None if none failed."""
    columns = [{kind.value: share for kind, share in e.error_classes().items()} for e in results]
    if not any(share.mean for shares in columns for share in shares.values()):
        return None
    caption = (
        "Share of all rollouts. Execution failure: a needed tool was called and never worked."
        " Incomplete tool chain: a needed tool was never called, or there is no answer."
        " Reasoning error: every needed tool worked, but the outcome is wrong."
    )
    return _grid("Why rollouts failed", results, columns, caption)


def of_set(results: Results, label: str) -> list[Evaluation]:
    """Return the part of each evaluation on one task set; evaluations without it are left out."""
    return [sets[label] for e in results if label in (sets := e.by("taskset"))]


def sets_of(results: Results) -> list[str]:
    """Return the labels of the task sets, in order of appearance."""
    return list(dict.fromkeys(label for e in results for label in e.by("taskset")))


def leading_number(name: str) -> int:
    """Return the number that a name begins with ("3 tools"); 0 for any other name."""
    digits = re.match("[0-9]{1,9}", name)
    return int(digits[0]) if digits else 0


def _grid(
    title: str, results: Results, columns: Sequence[Mapping[str, Value]], caption: str
) -> Grid:
    """Return a table from one column per model, which maps the names of rows to values."""
    names = dict.fromkeys(name for column in columns for name in column)
    plain = {n for column in columns for n, v in column.items() if not isinstance(v, Interval)}
    rows = []
    for name in sorted(names, key=lambda name: (name in plain, leading_number(name))):
        values = [column.get(name) for column in columns]
        tasks = max((v.count for v in values if isinstance(v, Interval)), default=None)
        counted = Cell("" if tasks is None else str(tasks))
        rows.append((Cell(name), counted, *(cell(value, tasks) for value in values)))
    return Grid(title, ("", "tasks", *(e.model for e in results)), tuple(rows), caption)


def _not_counted(results: Results) -> str:
    """Return a note about rollouts that no figure counts; "" if there are none."""
    broken = sum(e.broken for e in results)
    unscored = sum(t.error is None and t.score is None for e in results for t in e.trajectories)
    reasons = {"broke": broken, "without a score": unscored}
    return "".join(
        f"; {count} rollout{'s' * (count > 1)} {why}{' and' * (why == 'broke')} did not count"
        for why, count in reasons.items()
        if count
    )
