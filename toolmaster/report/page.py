"""The HTML report: one file that needs no network, no script and no server.

Trajectory text comes from models and tools and is not trusted: the template escapes everything it
prints, and the page's own content policy forbids scripts and every outside address.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from toolmaster.errors import InputError
from toolmaster.evaluation.analysis_tables import calls_grid, errors_grid
from toolmaster.evaluation.grids import Grid
from toolmaster.evaluation.tables import (
    FAMILY,
    Results,
    behaviour_grid,
    family_grid,
    figures_grid,
    main_grid,
    of_set,
    sets_of,
)
from toolmaster.report.charts import BarChart, curves, legend, success_bars
from toolmaster.types import Phase, Step, Trajectory

SHOWN_PER_MODEL = 4
"""Trajectories shown in full for each model."""


def write_report(
    path: Path,
    title: str,
    config: dict[str, Any],
    evaluations: Results,
    metrics: Sequence[dict[str, Any]],
    grids: Sequence[Grid] = (),
) -> None:
    """Write the report of a run; a report that is already there is replaced.

    Args:
        path: the HTML file to write; its folder is made.
        title: the heading.
        config: the resolved settings, JSON-like.
        evaluations: model name to its trajectories; the label "family" gives a breakdown.
        metrics: training metrics: rows with "stage", "step" and numbers such as loss and reward.
        grids: further tables, shown after the first one.

    Raises:
        InputError: the file cannot be written.
    """
    html = render_report(title, config, evaluations, metrics, grids)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A model can emit half a surrogate pair, which UTF-8 cannot hold.
        path.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot write the report {str(path)!r}: {error.strerror}") from None


def render_report(
    title: str,
    config: Mapping[str, Any],
    evaluations: Results,
    metrics: Sequence[Mapping[str, Any]],
    grids: Sequence[Grid] = (),
) -> str:
    """The report as text; the arguments are those of `write_report`."""
    filled = {name: list(group) for name, group in evaluations.items() if group}
    labels = sets_of(filled)
    page = _template().render(
        title=title,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        main=main_grid(filled) if labels else None,
        grids=grids,
        sections=[_section(filled, label) for label in labels],
        curves=curves(metrics),
        viewer={name: choose(group) for name, group in filled.items()},
        config=flatten(config),
    )
    return page.lstrip()


@dataclass(frozen=True, slots=True)
class Section:
    """What the report says of one task set."""

    label: str
    models: list[tuple[str, int]]
    """Name and number of the colour."""
    families: BarChart | None
    grids: tuple[Grid, ...]


def _section(results: Results, label: str) -> Section:
    colours = dict(legend(list(results)))
    part = of_set(results, label)
    by_family = family_grid(part)
    chart = success_bars(part, FAMILY, colours) if by_family is not None else None
    grids = (
        figures_grid(part),
        *(() if by_family is None else (by_family,)),
        behaviour_grid(part),
        calls_grid(part),
        errors_grid(part),
    )
    return Section(label, [(name, colours[name]) for name in part], chart, grids)


def choose(trajectories: Sequence[Trajectory], count: int = SHOWN_PER_MODEL) -> list[Trajectory]:
    """A few trajectories that differ: first in outcome, then in family; in their order.

    Args:
        trajectories: of one model.
        count: how many at most.

    Returns:
        The chosen ones; the same input gives the same choice.
    """
    rest = list(trajectories)
    chosen: list[Trajectory] = []
    outcomes: Counter[bool] = Counter()
    shown: Counter[str | None] = Counter()
    while rest and len(chosen) < count:
        best = min(rest, key=lambda t: (outcomes[t.success], shown[t.labels.get("family")]))
        rest.remove(best)
        chosen.append(best)
        outcomes[best.success] += 1
        shown[best.labels.get("family")] += 1
    return chosen


def flatten(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Settings as they are written on the command line.

    Args:
        config: nested settings, JSON-like.

    Returns:
        Section to `{"key.of.setting": "value"}`; settings outside any section come under "".
    """
    sections: dict[str, dict[str, str]] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            sections[str(key)] = dict(_leaves(value, ""))
        else:
            sections.setdefault("", {})[str(key)] = _show(value)
    return dict(sorted(sections.items(), key=lambda item: item[0] != ""))


def _leaves(value: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    leaves: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            leaves += _leaves(item, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", _show(item)))
    return leaves


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _phases(trajectory: Trajectory) -> list[tuple[Phase, list[Step]]]:
    """The steps in order, cut where the phase changes."""
    runs = itertools.groupby(trajectory.steps, key=lambda step: step.phase)
    return [(phase, list(steps)) for phase, steps in runs]


def _thought(text: str) -> tuple[str, str]:
    """A turn cut after its thought: `(thought, rest)`, tags included, nothing left out."""
    thought, tag, rest = text.partition("</think>")
    return (thought + tag, rest.strip("\n")) if tag else ("", text)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(phases=_phases, thought=_thought, pretty=_pretty)
    return environment.get_template("template.html.j2")
