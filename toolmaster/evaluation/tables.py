"""What the result tables say. Each takes the trajectories of models: name to trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolmaster.evaluation.grids import (
    EMPTY,
    INTERVAL,
    Cell,
    Grid,
    interval_cell,
    model_cells,
    model_header,
    most,
)
from toolmaster.evaluation.intervals import Interval
from toolmaster.evaluation.metrics import (
    by_label,
    figures,
    is_scored,
    success_of,
    summarize,
)
from toolmaster.types import Trajectory

Results = Mapping[str, Sequence[Trajectory]]
"""Name of a model to its trajectories."""
FAMILY = "family"
"""The label by which task sets sort their tasks."""


def run_grids(results: Results) -> list[Grid]:
    """The tables that a run prints: success on each set, then each set on its own."""
    grids: list[Grid] = [main_grid(results)]
    for label in sets_of(results):
        part = of_set(results, label)
        families = family_grid(part, f"Success by family on {short(label)}")
        grids += [
            figures_grid(part, f"Figures on {short(label)}"),
            *([families] if families else []),
        ]
    return grids


def main_grid(results: Results) -> Grid:
    """Success on each task set, and the effort of a rollout.

    Args:
        results: model to trajectories.

    Returns:
        A grid with one row per model and one column per task set; "-" for a set that a model was
        not measured on.
    """
    rows = {model: by_label(group, "taskset") for model, group in results.items()}
    sets = list(dict.fromkeys(label for row in rows.values() for label in row))
    success = {m: {label: success_of(g) for label, g in row.items()} for m, row in rows.items()}
    counts = {label: most(row.get(label) for row in success.values()) for label in sets}
    shown = [
        (
            Cell(model),
            *(interval_cell(row.get(label), counts[label]) for label in sets),
            *_effort(results[model]),
        )
        for model, row in success.items()
    ]
    header = ("model", *(f"{short(label)}, %" for label in sets), "calls", "trial calls", "tokens")
    told = ", ".join(f"{count} of {label}" for label, count in counts.items())
    caption = f"{INTERVAL} ({told}); calls and tokens per rollout{_not_counted(results)}"
    return Grid("Success", header, tuple(shown), caption)


def figures_grid(results: Results, title: str = "Figures") -> Grid:
    """Every figure that says how well the models do on one task set.

    Args:
        results: model to trajectories of one set.
        title: of the grid.

    Returns:
        A grid with one row per figure and one column per model.
    """
    found = {
        model: figures(group) for model, group in results.items() if any(map(is_scored, group))
    }
    names = dict.fromkeys(name for of_model in found.values() for name in of_model)
    rows = []
    for name in names:
        intervals = [of_model.get(name) for of_model in found.values()]
        tasks = most(intervals)
        cells = model_cells(intervals, tasks)
        rows.append((Cell(_with_unit(name, intervals)), Cell(str(tasks)), *cells))
    header = ("", "tasks", *model_header(found, "mean"))
    return Grid(title, header, tuple(rows), f"{INTERVAL}{_not_counted(results)}")


def family_grid(results: Results, title: str = "Success by family") -> Grid | None:
    """Success for each family of tasks: a task set's own categories.

    Args:
        results: model to trajectories of one set.
        title: of the grid.

    Returns:
        A grid with one row per family and one column per model; None where the tasks are of one
        family.
    """
    groups = {model: by_label(group, FAMILY) for model, group in results.items()}
    families = dict.fromkeys(family for of_model in groups.values() for family in of_model)
    if len(families) < 2:
        return None
    rows = []
    for family in families:
        intervals = [
            success_of(of_model[family]) if family in of_model else None
            for of_model in groups.values()
        ]
        tasks = most(intervals)
        rows.append((Cell(family), Cell(str(tasks)), *model_cells(intervals, tasks)))
    header = (FAMILY, "tasks", *model_header(groups, "success %"))
    caption = f"success in percent, {INTERVAL}"
    return Grid(title, header, tuple(rows), caption)


def behaviour_grid(results: Results) -> Grid:
    """How models got there: format, trials, errors and recovery.

    Args:
        results: model to trajectories.

    Returns:
        A grid with one row per model.
    """
    header = (
        "model",
        "format kept %",
        "useful trials",
        "other trials",
        "execution calls",
        "execution errors",
        "recovered %",
        "seconds",
    )
    shown = []
    for model, group in results.items():
        if not any(map(is_scored, group)):
            continue
        s = summarize(group)
        trials = [Cell(f"{n:.1f}") for n in (s.useful_trials, s.unproductive_trials)]
        execution = [Cell(f"{s.execution_calls:.1f}"), Cell(f"{s.execution_errors:.2f}")]
        recovery = EMPTY if s.recovery is None else Cell(f"{100 * s.recovery:.1f}")
        kept = Cell(f"{100 * s.format_ok:.1f}")
        shown.append((Cell(model), kept, *trials, *execution, recovery, Cell(f"{s.seconds:.1f}")))
    caption = "per rollout; recovered: share of the errors mended later in the same rollout"
    return Grid("Behaviour", header, tuple(shown), caption)


def short(label: str) -> str:
    """A task set's label without its version."""
    return label.partition(" (")[0]


def of_set(results: Results, label: str) -> dict[str, list[Trajectory]]:
    """The trajectories of one task set, by model; models without any are left out."""
    groups = {model: by_label(group, "taskset") for model, group in results.items()}
    return {model: sets[label] for model, sets in groups.items() if label in sets}


def sets_of(results: Results) -> list[str]:
    """Labels of the task sets, in order of appearance."""
    return list(dict.fromkeys(label for g in results.values() for label in by_label(g, "taskset")))


def _effort(trajectories: Sequence[Trajectory]) -> tuple[Cell, ...]:
    if not any(map(is_scored, trajectories)):
        return EMPTY, EMPTY, EMPTY
    s = summarize(trajectories)
    numbers = f"{s.calls:.1f}", f"{s.trial_calls:.1f}", f"{s.completion_tokens:.0f}"
    return tuple(Cell(number) for number in numbers)


def _with_unit(name: str, intervals: Sequence[Interval | None]) -> str:
    shown = name.replace("_", " ")
    return f"{shown} %" if all(i is None or i.share for i in intervals) else shown


def _not_counted(results: Results) -> str:
    """What the reader must know of rollouts that no figure counts; "" where there are none."""
    groups = [*results.values()]
    broken = sum(t.error is not None for group in groups for t in group)
    unscored = sum(t.error is None and t.score is None for group in groups for t in group)
    told = ""
    if broken:
        told += f"; {broken} rollout{'s' * (broken > 1)} broke and did not count"
    if unscored:
        told += f"; {unscored} rollout{'s' * (unscored > 1)} without a score did not count"
    return told
