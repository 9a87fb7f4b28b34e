"""The tables of the analyses, and of the rows of a source that could not become tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolmaster.evaluation.analyses import MOST_CALLS, ErrorClass, error_classes, success_by_calls
from toolmaster.evaluation.familiarity import by_familiarity
from toolmaster.evaluation.grids import EMPTY, INTERVAL, Cell, Grid, interval_cell
from toolmaster.evaluation.intervals import Interval
from toolmaster.evaluation.metrics import is_scored
from toolmaster.evaluation.tables import Results
from toolmaster.tasksets.taskset import LeftOut
from toolmaster.types import Trajectory

NAMED = 20
"""Left-out rows that a table names."""


def calls_grid(results: Results) -> Grid:
    """Success against the number of calls: one row per number, one column per model."""
    found = {model: success_by_calls(group) for model, group in results.items()}
    numbers = [*map(str, range(MOST_CALLS)), f"{MOST_CALLS}+"]
    rows = [
        (Cell(number), *(_with_count(of_model.get(number)) for of_model in found.values()))
        for number in numbers
        if any(number in of_model for of_model in found.values())
    ]
    caption = f"success in percent, {INTERVAL}; n tasks have such rollouts"
    return Grid("Success by number of calls", ("calls", *_columns(results)), tuple(rows), caption)


def errors_grid(results: Results) -> Grid:
    """The classes of errors, as shares of the scored rollouts of each model."""
    found = {model: error_classes(group) for model, group in results.items()}
    totals = {model: sum(map(is_scored, group)) for model, group in results.items()}
    rows = [
        (Cell(kind.value), *(_part(found[model][kind], totals[model]) for model in results))
        for kind in ErrorClass
    ]
    caption = "percent of all rollouts; by rule, see evaluation.analyses.error_class"
    return Grid("Errors", ("class", *_columns(results)), tuple(rows), caption)


def familiarity_grid(
    trajectories: Sequence[Trajectory], training: Sequence[Mapping[str, Any]]
) -> Grid:
    """Calls and success of one model by how familiar the tools are.

    Args:
        trajectories: of the model.
        training: JSON schemas of the tools it was trained on.
    """
    rows = [
        (
            Cell(name),
            Cell(str(stratum.tools)),
            Cell(f"{stratum.familiarity:.2f}"),
            Cell(f"{stratum.frequency:.2f}"),
            interval_cell(stratum.call_success),
            interval_cell(stratum.success),
        )
        for name, stratum in by_familiarity(trajectories, training).items()
    ]
    header = ("familiarity", "tools", "cosine", "calls per offer", "calls right %", "success %")
    caption = f"thirds of the tools by likeness to the nearest training tool; {INTERVAL}"
    return Grid("Familiarity of the tools", header, tuple(rows), caption)


def left_out_grid(left_out: Sequence[LeftOut]) -> Grid:
    """The rows that could not become tasks; the first are named."""
    rows = [
        (Cell(f"{item.file}, row {item.row}"), Cell(item.field or "-"), Cell(item.reason))
        for item in left_out[:NAMED]
    ]
    further = f", the first {NAMED} are shown" if len(left_out) > NAMED else ""
    caption = f"{len(left_out)} rows could not become tasks{further}"
    return Grid("Rows left out", ("row", "field", "reason"), tuple(rows), caption)


def _columns(results: Iterable[str]) -> list[str]:
    models = list(results)
    return models if len(models) > 1 else ["%"]


def _with_count(interval: Interval | None) -> Cell:
    if interval is None:
        return EMPTY
    cell = interval_cell(interval)
    return Cell(cell.value, cell.note if interval.count == 1 else f"{cell.note} n={interval.count}")


def _part(count: int, total: int) -> Cell:
    return Cell(f"{100 * count / total:.1f}", f"({count})") if total else EMPTY
