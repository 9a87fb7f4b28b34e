"""What a benchmark run leaves: results of each trajectory, figures, tables, the report.

`results.jsonl` has a line for each trajectory, in the order of the file's rows; `figures.json` the
figures with their intervals; `report.html` the tables and some trajectories in full.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolmaster.benchmarks.base import Suite
from toolmaster.benchmarks.figures import Measured, figures
from toolmaster.benchmarks.grids import (
    calls_grid,
    errors_grid,
    familiarity_grid,
    figures_grid,
    left_out_grid,
)
from toolmaster.benchmarks.settings import BenchmarkSettings
from toolmaster.evaluation.analyses import Share
from toolmaster.evaluation.tables import Grid, render
from toolmaster.progress import console
from toolmaster.report.page import write_report
from toolmaster.runs import write_atomically


def write_results(
    settings: BenchmarkSettings,
    folder: Path,
    suite: Suite,
    measured: Sequence[Measured],
    training: Sequence[Mapping[str, Any]],
) -> Path:
    """Write all files, print the tables.

    Args:
        settings: of the run.
        folder: the run folder.
        suite: what was opened; closed by now.
        measured: every trajectory with its values, at least one.
        training: JSON schemas of the training tools; empty where they are not known.

    Returns:
        The path of the report.
    """
    lines = [
        json.dumps(
            {"task_id": t.task_id, "rollout": t.rollout, "values": dict(values)}, ensure_ascii=False
        )
        for _, t, values in measured
    ]
    write_atomically(folder / "results.jsonl", "\n".join(lines) + "\n")
    found = figures(measured)
    broken = sum(item.trajectory.error is not None for item in measured)
    facts = {
        "benchmark": settings.benchmark,
        "rollouts": len(measured),
        "left_out": len(suite.left_out),
        "broken": broken,
        "facts": dict(suite.facts),
        "figures": {group: _plain(of_group) for group, of_group in found.items()},
    }
    write_atomically(folder / "figures.json", json.dumps(facts, indent=2))
    name = settings.model or f"replay of {settings.replay}"
    title = f"{settings.benchmark}: {name}"
    grids = [figures_grid(title, found, suite.facts), *_analyses(measured, training)]
    if suite.left_out:
        grids.append(left_out_grid(suite.left_out))
    for grid in grids:
        console.print(render(grid))
    if broken:
        console.print(
            f"{broken} of {len(measured)} rollouts broke and count as failures; the same command"
            " runs them again"
        )
    path = folder / "report.html"
    trajectories = [item.trajectory for item in measured]
    write_report(
        path, title, settings.model_dump(mode="json"), {name: trajectories}, [], grids=grids
    )
    console.print(f"report: {path}", soft_wrap=True)
    return path


def _analyses(measured: Sequence[Measured], training: Sequence[Mapping[str, Any]]) -> list[Grid]:
    trajectories = [item.trajectory for item in measured]
    needed = {item.case.task.id: item.case.needed for item in measured}
    grids = [calls_grid(trajectories), errors_grid(trajectories, needed)]
    if training:
        grids.append(familiarity_grid(trajectories, training))
    return grids


def _plain(of_group: Mapping[str, Share]) -> dict[str, Any]:
    return {name: share.model_dump() for name, share in of_group.items()}
