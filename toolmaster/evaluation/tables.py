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
    paired_difference,
    success_by_task,
    summarize,
)
from toolmaster.types import Trajectory

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


def main_table(rows: Mapping[str, Mapping[str, Summary]]) -> Table:
    """Success on each task set, and the effort on the first.

    Args:
        rows: model name to task set's label to summary; a missing set shows as "-".

    Returns:
        A table for `rich.console.Console.print`.
    """
    return render(main_grid(rows))


def family_table(rows: Mapping[str, Mapping[str, Summary]], on: str = "") -> Table:
    """Success for each family of tasks: a task set's own categories.

    Args:
        rows: model name to family to summary.
        on: what the tasks are called.

    Returns:
        A table for `rich.console.Console.print`.
    """
    return render(family_grid(rows, on))


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
    for family in dict.fromkeys(t.labels.get("family", NO_LABEL) for t in a):
        groups[family] = (_of_family(a, family), _of_family(b, family))
    rows = []
    for name, (of_a, of_b) in groups.items():
        success_a, success_b = success_by_task(of_a), success_by_task(of_b)
        common = success_a.keys() & success_b.keys()
        if name != "all tasks" and (not common or len(groups) == 2):
            continue
        difference = paired_difference(of_a, of_b)
        means = [sum(s[task] for task in common) / len(common) for s in (success_a, success_b)]
        shown = [Cell(f"{100 * mean:.1f}") for mean in means]
        rows.append((Cell(name), Cell(str(len(common))), *shown, _points(difference)))
    header = ("", "tasks", "A, %", "B, %", "B - A, points")  # names may be long paths
    caption = f"A: {name_a}\nB: {name_b}\npaired by task, {INTERVAL}"
    return render(Grid("Success on the same tasks", header, tuple(rows), caption))


def main_grid(rows: Mapping[str, Mapping[str, Summary]]) -> Grid:
    """The content of `main_table`."""
    sets = list(dict.fromkeys(label for row in rows.values() for label in row))
    counts = {label: _tasks(rows.values(), label) for label in sets}
    shown = []
    for model, row in rows.items():
        first = row.get(sets[0]) if sets else None
        effort: tuple[Cell, ...] = (EMPTY, EMPTY, EMPTY)
        if first is not None:
            effort = (
                Cell(f"{first.calls:.1f}"),
                Cell(f"{first.trial_calls:.1f}"),
                Cell(f"{first.completion_tokens:.0f}"),
            )
        success = (_success(row.get(label), counts[label]) for label in sets)
        shown.append((Cell(model), *success, *effort))
    header = ("model", *(f"{short(label)}, %" for label in sets), "calls", "trial calls", "tokens")
    told = ", ".join(f"{count} of {label}" for label, count in counts.items())
    caption = f"{INTERVAL} ({told})"
    if sets:
        caption += f"; calls and tokens per rollout on {short(sets[0])}"
    return Grid("Success", header, tuple(shown), caption)


def family_grid(rows: Mapping[str, Mapping[str, Summary]], on: str = "") -> Grid:
    """The content of `family_table`; `on` names the tasks."""
    names = list(dict.fromkeys(family for groups in rows.values() for family in groups))
    counts = {family: _tasks(rows.values(), family) for family in names}
    shown = [
        (Cell(model), *(_success(groups.get(family), counts[family], 0) for family in names))
        for model, groups in rows.items()
    ]
    header = ("model", *(f"{family}, %" for family in names))
    told = ", ".join(f"{count} {family}" for family, count in counts.items())
    caption = f"{INTERVAL} ({told})" if names else ""
    return Grid(f"Success by family{on and f' on {on}'}", header, tuple(shown), caption)


def short(label: str) -> str:
    """A task set's label without its version."""
    return label.partition(" (")[0]


def evaluation_table(model: str, trajectories: Sequence[Trajectory]) -> Table:
    """Success and every named figure, for each task set and, where there are some, each family."""
    groups: dict[str, Sequence[Trajectory]] = {}
    for label in dict.fromkeys(t.taskset for t in trajectories):
        of_set = [t for t in trajectories if t.taskset == label]
        groups[label or "all tasks"] = of_set
        families = dict.fromkeys(t.labels.get("family", NO_LABEL) for t in of_set)
        if len(families) > 1:
            groups |= {f"  {family}": _of_family(of_set, family) for family in families}
    summaries = {name: summarize(g) for name, g in groups.items() if any(not t.error for t in g)}
    names = list(dict.fromkeys(name for s in summaries.values() for name in s.parts))
    rows = [
        (
            Cell(name),
            Cell(f"{s.tasks}{f' x {s.rollouts / s.tasks:.0f}' if s.rollouts > s.tasks else ''}"),
            _success(s, s.tasks),
            *(_percent(s.parts.get(part)) for part in names),
            Cell(f"{s.calls:.1f}"),
            Cell(f"{s.completion_tokens:.0f}"),
        )
        for name, s in summaries.items()
    ]
    parts = (name.replace("_", " ") for name in names)
    header = ("", "tasks", "success %", *parts, "calls", "tokens")
    broken = sum(t.error is not None for t in trajectories)
    told = f"; {broken} rollouts broke and are not counted" if broken else ""
    return render(Grid(model, header, tuple(rows), f"{INTERVAL}{told}"))


def _percent(interval: Interval | None) -> Cell:
    return EMPTY if interval is None else Cell(f"{100 * interval.mean:.1f}")


def behaviour_grid(rows: Mapping[str, Summary]) -> Grid:
    """How models got there: format, trials, errors and recovery.

    Args:
        rows: model name to its summary.

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
    return Grid("Behaviour", header, tuple(shown), caption)


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
    note = "[one task]"
    if interval.low is not None and interval.high is not None:
        note = f"[{100 * interval.low:.{digits}f}, {100 * interval.high:.{digits}f}]"
    if summary.tasks != count:
        note += f", {summary.tasks} task{'s' * (summary.tasks > 1)}"
    return Cell(f"{100 * interval.mean:.1f}", note)


def _points(difference: Interval) -> Cell:
    mean = f"{round(100 * difference.mean, 1) + 0.0:+.1f}"  # + 0.0: never "-0.0"
    if difference.low is None or difference.high is None:
        return Cell(mean, "[one task]")
    low, high = (f"{round(100 * d, 1) + 0.0:+.1f}" for d in (difference.low, difference.high))
    return Cell(mean, f"[{low}, {high}]", strong=difference.low > 0 or difference.high < 0)


def _tasks(rows: Iterable[Mapping[str, Summary]], key: str) -> int:
    """The most tasks any model has under a key."""
    return max((row[key].tasks for row in rows if key in row), default=0)


def _of_family(trajectories: Sequence[Trajectory], family: str) -> list[Trajectory]:
    return [t for t in trajectories if t.labels.get("family", NO_LABEL) == family]
