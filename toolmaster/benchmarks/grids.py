"""The tables of a benchmark run: its figures, the paper's analyses, and the rows left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolmaster.benchmarks.base import LeftOut
from toolmaster.benchmarks.figures import ALL
from toolmaster.evaluation.analyses import (
    Share,
    by_familiarity,
    error_classes,
    success_by_calls,
)
from toolmaster.evaluation.tables import EMPTY, Cell, Grid
from toolmaster.types import Trajectory

NAMED = 20
"""Left-out rows that a table names; the file has them all."""
INTERVAL = "95% bootstrap interval"


def figures_grid(
    title: str, found: Mapping[str, Mapping[str, Share]], facts: Mapping[str, str]
) -> Grid:
    """One row for each figure, one column for all tasks and for each family, in percent.

    Only the column of all tasks shows intervals; `figures.json` has them all.
    """
    names = dict.fromkeys(name for of_group in found.values() for name in of_group)
    rows = [
        (
            Cell(name.replace("_", " ")),
            Cell(str(found[ALL][name].count)),
            *(
                _cell(of_group.get(name), interval=group == ALL)
                for group, of_group in found.items()
            ),
        )
        for name in names
    ]
    header = ("%", "tasks", *(group.replace("_", " ") for group in found))
    caption = "; ".join([f"{INTERVAL} over tasks", *(f"{k}: {v}" for k, v in facts.items())])
    return Grid(title, header, tuple(rows), caption)


def calls_grid(trajectories: Iterable[Trajectory]) -> Grid:
    """Success against the number of calls."""
    rows = [
        (Cell(calls), Cell(str(share.count)), _cell(share))
        for calls, share in success_by_calls(trajectories).items()
    ]
    header = ("calls", "rollouts", "success %")
    return Grid("Success by number of calls", header, tuple(rows), INTERVAL)


def errors_grid(trajectories: Sequence[Trajectory], needed: Mapping[str, Iterable[str]]) -> Grid:
    """The classes of errors, as shares of all rollouts."""
    rows = [
        (Cell(kind), Cell(str(count)), Cell(f"{100 * count / len(trajectories):.1f}"))
        for kind, count in error_classes(trajectories, needed).items()
    ]
    caption = f"of {len(trajectories)} rollouts; by rule, see evaluation.analyses.error_class"
    return Grid("Errors", ("class", "rollouts", "%"), tuple(rows), caption)


def familiarity_grid(
    trajectories: Sequence[Trajectory], training: Sequence[Mapping[str, Any]]
) -> Grid:
    """Calls and success by how familiar the tools are."""
    rows = [
        (
            Cell(name),
            Cell(str(stratum.tools)),
            Cell(f"{stratum.familiarity:.2f}"),
            Cell(f"{stratum.frequency:.2f}"),
            _cell(stratum.call_success),
            _cell(stratum.success),
        )
        for name, stratum in by_familiarity(trajectories, training).items()
    ]
    header = ("familiarity", "tools", "cosine", "calls per offer", "calls right %", "success %")
    caption = f"thirds of the tools by likeness to the nearest training tool; {INTERVAL}"
    return Grid("Familiarity of the tools", header, tuple(rows), caption)


def left_out_grid(left_out: Sequence[LeftOut]) -> Grid:
    """The rows that could not be loaded; the first are named."""
    rows = [
        (Cell(f"{item.file}, row {item.row}"), Cell(item.field or "-"), Cell(item.reason))
        for item in left_out[:NAMED]
    ]
    caption = f"{len(left_out)} could not be loaded; left_out.jsonl has them all"
    return Grid("Rows left out", ("row", "field", "reason"), tuple(rows), caption)


def _cell(share: Share | None, *, interval: bool = True) -> Cell:
    if share is None:
        return EMPTY
    mean, low, high = (
        100 * number for number in (share.share.mean, share.share.low, share.share.high)
    )
    return Cell(f"{mean:.1f}", f"[{low:.0f}, {high:.0f}]" if interval else "")
