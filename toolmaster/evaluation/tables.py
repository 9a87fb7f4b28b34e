"""The result tables: what each cell says, and how a terminal shows it.

A `Grid` is a table without a medium: the terminal draws it with rich, the HTML report with its
template, and both say the same. All text is data, never rich markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from toolmaster.evaluation.metrics import (
    NO_LABEL,
    Interval,
    Summary,
    bootstrap,
    paired_difference,
    success_by_task,
)
from toolmaster.types import Trajectory
from toolmaster.world.quirks import FAMILIES

SPLITS = ("seen", "unseen")


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


def main_table(rows: Mapping[str, Mapping[str, Summary]]) -> Table:
    """Success on seen and unseen tools, and the effort on unseen ones.

    Args:
        rows: model name to split ("seen", "unseen") to summary; a missing split shows as "-".

    Returns:
        A table for `rich.console.Console.print`.
    """
    return render(main_grid(rows))


def family_table(rows: Mapping[str, Mapping[str, Summary]]) -> Table:
    """Success on unseen tools for each family.

    Args:
        rows: model name to family to summary, of unseen tools only. A family is a kind of quirk in
            the embedded world, a benchmark's own category elsewhere.

    Returns:
        A table for `rich.console.Console.print`.
    """
    return render(family_grid(rows))


def compare_table(
    name_a: str, a: Sequence[Trajectory], name_b: str, b: Sequence[Trajectory]
) -> Table:
    """Two models on the tasks they both ran, overall and for each family.

    Args:
        name_a: the baseline.
        a: its trajectories.
        name_b: what is compared with it.
        b: its trajectories.

    Returns:
        A table of success and of the paired difference `b` minus `a`, in percentage points; a
        difference stands out when its 95% interval does not contain 0.

    Raises:
        InputError: no task id is in both.
    """
    groups: dict[str, tuple[Sequence[Trajectory], Sequence[Trajectory]]] = {"all tasks": (a, b)}
    for family in families([t.labels.get("family", NO_LABEL) for t in a]):
        groups[family] = (_of_family(a, family), _of_family(b, family))
    rows = []
    for name, (of_a, of_b) in groups.items():
        success_a, success_b = success_by_task(of_a), success_by_task(of_b)
        common = success_a.keys() & success_b.keys()
        if name != "all tasks" and not common:
            continue
        difference = paired_difference(of_a, of_b)
        means = [bootstrap([s[task] for task in common]).mean for s in (success_a, success_b)]
        shown = [Cell(f"{100 * mean:.1f}") for mean in means]
        rows.append((Cell(name), Cell(str(len(common))), *shown, _points(difference)))
    header = ("", "tasks", "A, %", "B, %", "B - A, points")  # names may be long paths
    caption = f"A: {name_a}\nB: {name_b}\npaired by task, 95% bootstrap interval"
    return render(Grid("Success on the same tasks", header, tuple(rows), caption))


def main_grid(rows: Mapping[str, Mapping[str, Summary]]) -> Grid:
    """The content of `main_table`."""
    shown = []
    counts = {split: _tasks(rows.values(), split) for split in SPLITS}
    for model, splits in rows.items():
        unseen = splits.get("unseen")
        effort: tuple[Cell, ...] = (EMPTY, EMPTY, EMPTY)
        if unseen is not None:
            effort = (
                Cell(f"{unseen.calls:.1f}"),
                Cell(f"{unseen.trial_calls:.1f}"),
                Cell(f"{unseen.completion_tokens:.0f}"),
            )
        success = (_success(splits.get(split), counts[split]) for split in SPLITS)
        shown.append((Cell(model), *success, *effort))
    header = ("model", "seen tools, %", "unseen tools, %", "calls", "trial calls", "tokens")
    caption = "success with 95% bootstrap interval over tasks"
    told = [f"{count} {split}" for split, count in counts.items() if count]
    if told:
        caption += f" ({', '.join(told)})"
    caption += "; calls and tokens per rollout on unseen tools"
    return Grid("Success", header, tuple(shown), caption)


def family_grid(rows: Mapping[str, Mapping[str, Summary]]) -> Grid:
    """The content of `family_table`."""
    names = families(family for groups in rows.values() for family in groups)
    counts = {family: _tasks(rows.values(), family) for family in names}
    shown = [
        (Cell(model), *(_success(groups.get(family), counts[family], 0) for family in names))
        for model, groups in rows.items()
    ]
    header = ("model", *(f"{family}, %" for family in names))
    told = ", ".join(f"{count} {family}" for family, count in counts.items())
    caption = f"95% bootstrap interval over tasks ({told})" if names else ""
    return Grid("Success on unseen tools by family", header, tuple(shown), caption)


def behaviour_grid(rows: Mapping[str, Summary]) -> Grid:
    """How models got there: format, trials, errors and recovery.

    Args:
        rows: model name to its summary on unseen tools.

    Returns:
        A grid with one row per model.
    """
    header = (
        "model",
        "format kept %",
        "useful trials",
        "unproductive trials",
        "execution calls",
        "execution errors",
        "recovered %",
        "seconds",
    )
    shown = []
    for model, s in rows.items():
        trials = [Cell(f"{n:.1f}") for n in (s.useful_trials, s.unproductive_trials)]
        execution = [Cell(f"{s.execution_calls:.1f}"), Cell(f"{s.execution_errors:.2f}")]
        recovery = EMPTY if s.recovery is None else Cell(f"{100 * s.recovery:.1f}")
        kept = Cell(f"{100 * s.format_ok:.1f}")
        shown.append((Cell(model), kept, *trials, *execution, recovery, Cell(f"{s.seconds:.1f}")))
    caption = "per rollout; recovered: the share of errors mended later in the same rollout"
    return Grid("Behaviour on unseen tools", header, tuple(shown), caption)


def families(names: Iterable[str]) -> list[str]:
    """Quirk families without repetition: the known ones in their order, then any others by name."""
    present = set(names)
    known = [family for family in FAMILIES if family in present]
    return known + sorted(present - set(known))


def render(grid: Grid) -> Table:
    """A grid as a rich table."""
    table = Table(
        title=Text(grid.title, style="bold"),
        caption=Text(grid.caption, style="dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="bold",
    )
    for index, name in enumerate(grid.header):
        table.add_column(Text(name), justify="right" if index else "left")
    for row in grid.rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _text(cell: Cell) -> Text:
    note = f" {cell.note}" if cell.note else ""
    return Text.assemble((cell.value, "bold" if cell.strong else ""), (note, "dim"))


def _success(summary: Summary | None, count: int, digits: int = 1) -> Cell:
    """Success in percent, and how many tasks where they are not the `count` of the caption.

    `digits` are the decimals of the interval.
    """
    if summary is None:
        return EMPTY
    interval = summary.success
    note = f"[{100 * interval.low:.{digits}f}, {100 * interval.high:.{digits}f}]"
    if summary.tasks != count:
        note += f", {summary.tasks} task{'s' * (summary.tasks > 1)}"
    return Cell(f"{100 * interval.mean:.1f}", note)


def _points(difference: Interval) -> Cell:
    mean, low, high = (
        f"{round(100 * share, 1) + 0.0:+.1f}"  # + 0.0: never "-0.0"
        for share in (difference.mean, difference.low, difference.high)
    )
    clear = difference.low > 0 or difference.high < 0
    return Cell(mean, f"[{low}, {high}]", strong=clear)


def _tasks(rows: Iterable[Mapping[str, Summary]], key: str) -> int:
    """The most tasks any model has under a key."""
    return max((row[key].tasks for row in rows if key in row), default=0)


def _of_family(trajectories: Sequence[Trajectory], family: str) -> list[Trajectory]:
    return [t for t in trajectories if t.labels.get("family", NO_LABEL) == family]
