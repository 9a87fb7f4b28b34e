"""The HTML report: one file that needs no network, no script and no server.

Trajectory text comes from models and tools and is not trusted: the template escapes everything it
prints, and the page's own content policy forbids scripts and every outside address.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import jinja2

from toolmaster.errors import InputError
from toolmaster.evaluation.comparison import compare_all, verdict
from toolmaster.evaluation.evaluation import NO_LABEL
from toolmaster.evaluation.metrics import key_of
from toolmaster.evaluation.tables import (
    FAMILY,
    Grid,
    Results,
    errors_grid,
    family_grid,
    figures_grid,
    of_set,
    sets_grid,
    sets_of,
)
from toolmaster.report.viewer import Decode, outcome, said, segments, tools_of
from toolmaster.system.redaction import redacted
from toolmaster.tasksets.replay import REPLAY
from toolmaster.types import Phase, Step, ToolCall, Trajectory
from toolmaster.world.behaviours import KINDS

MOST_BYTES = 8_000_000
"""The most bytes of trajectories on a page; if a run has more, failures come first."""
COLOURS = 6
"""Model colours that the style sheet defines."""
BEHAVIOURS = {kind.name: kind.about for kind in KINDS}
"""The label "behaviour" of a task, in words."""
CURVES = ("loss", "reward", "rollout_success", "kl", "grad_norm")
"""Training metrics that the report draws."""


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a report.

    Args:
        title: the heading.
        results: one evaluation per model, in the order of their training.
        made: what produced them (model, task set, commit, machine, date), by name.
        settings: the resolved settings as JSON values.
        metrics: training metrics: rows with "stage", "step" and numbers such as loss and reward.
        decoders: for each model, a function from a token id to its text, which shows recorded
            tokens.
    """

    title: str
    results: Results
    made: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Mapping[str, Any]] = ()
    decoders: Mapping[str, Decode] = field(default_factory=dict)


def write_report(path: Path, page: Page) -> None:
    """Write the report of a run; a report that is already there is replaced.

    Args:
        path: the HTML file to write; its folder is created if it is missing.
        page: the content.

    Raises:
        InputError: the file cannot be written.
    """
    html = redacted(_html(page))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A model can emit half a surrogate pair, which UTF-8 cannot hold.
        path.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot write the report {str(path)!r}: {error.strerror}") from None


def _html(page: Page) -> str:
    templates = _templates()
    results, labels = page.results, sets_of(page.results)
    cards = _cards(results)
    filters = _filters(cards)
    draw: Any = templates.get_template("trajectory.html.j2").module
    shown = _rendered(draw.trajectory, cards, filters, page.decoders)
    first = {(card.model, card.trajectory.task_id): card.anchor for card in reversed(cards)}
    html = templates.get_template("page.html.j2").render(
        page=page,
        verdict=verdict(results),
        comparisons=compare_all(results),
        anchors={place: anchor for place, anchor in first.items() if anchor in shown},
        overview=sets_grid(results) if len(labels) > 1 else None,
        sections={label: _section(of_set(results, label)) for label in labels},
        curves=[*curves(page.metrics)],
        colours={e.model: index % COLOURS for index, e in enumerate(results, len(results) == 1)},
        filters=filters,
        cards=shown,
        total=len(cards),
        settings=json.dumps(page.settings, indent=1, ensure_ascii=False, default=str),
    )
    return html.lstrip()


def _section(results: Results) -> list[Grid]:
    grids = (family_grid(results), figures_grid(results), errors_grid(results))
    return [grid for grid in grids if grid is not None]


class Card(NamedTuple):
    """A trajectory on the page."""

    anchor: str
    model: str
    trajectory: Trajectory
    facets: dict[str, str]
    """Maps each facet by which it can be filtered to its value."""


def _cards(results: Results) -> list[Card]:
    """Return every trajectory, those of the same task adjacent."""
    pairs = [(e.model, t) for e in results for t in e.trajectories]
    order = {key: index for index, key in enumerate(dict.fromkeys(key_of(t) for _, t in pairs))}
    cards: list[Card] = []
    for model, t in sorted(pairs, key=lambda pair: order[key_of(pair[1])]):
        facets = {
            "outcome": outcome(t).plain,
            "model": model,
            "task set": t.taskset,
            "family": t.labels.get(FAMILY, NO_LABEL),
        }
        cards.append(Card(f"t{len(cards)}", model, t, facets))
    return cards


class Choice(NamedTuple):
    """A value by which trajectories can be filtered."""

    name: str
    """A CSS class of the trajectories that have it, and the id of its button."""
    cards: int
    """Number of trajectories that have it."""


def _filters(cards: Sequence[Card]) -> dict[str, dict[str, Choice]]:
    """Return the values of each facet in which the trajectories differ."""
    filters = {}
    for facet in cards[0].facets if cards else ():
        counts = Counter(card.facets[facet] for card in cards)
        if len(counts) > 1:
            names = (f"{facet.replace(' ', '-')}-{index}" for index in range(len(counts)))
            filters[facet] = dict(zip(counts, map(Choice, names, counts.values()), strict=True))
    return filters


def _rendered(
    draw: Any,
    cards: Sequence[Card],
    filters: Mapping[str, Mapping[str, Choice]],
    decoders: Mapping[str, Decode],
) -> dict[str, str]:
    """Return the HTML of trajectories by anchor, failures first, up to `MOST_BYTES`."""
    rendered: dict[str, str] = {}
    room = MOST_BYTES
    for card in sorted(cards, key=lambda card: card.trajectory.success):
        classes = [choices[card.facets[facet]].name for facet, choices in filters.items()]
        text = draw(card, classes, decoders.get(card.model))
        room -= len(text)
        if room < 0:
            break
        rendered[card.anchor] = text
    return {card.anchor: rendered[card.anchor] for card in cards if card.anchor in rendered}


class Curve(NamedTuple):
    """One training metric over steps, as a line in a box of 100 by 30 units."""

    stage: str
    key: str
    points: str
    """An SVG `points` attribute."""
    low: float
    high: float
    last: float
    steps: int


def curves(metrics: Sequence[Mapping[str, Any]]) -> Iterator[Curve]:
    """Yield a line for each stage and each of `CURVES` that has two steps or more."""
    series: dict[tuple[str, str], dict[float, float]] = {}
    for row in metrics:
        for key in CURVES:
            step, value = row.get("step"), row.get(key)
            if _finite(step) and _finite(value):
                series.setdefault((str(row.get("stage", "")), key), {})[step] = value
    for (stage, key), values in series.items():
        if len(values) < 2:
            continue
        low, high = min(values.values()), max(values.values())
        first, last = min(values), max(values)
        places = (
            f"{100 * (step - first) / (last - first or 1):.1f}"
            f",{30 - 30 * (values[step] - low) / (high - low or 1):.1f}"
            for step in sorted(values)
        )
        yield Curve(stage, key, " ".join(places), low, high, values[last], int(last))


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _phases(trajectory: Trajectory) -> list[tuple[str, list[Step]]]:
    """Return the steps grouped by phase; the trial of a replay is left out."""
    groups = itertools.groupby(trajectory.steps, lambda step: step.phase)
    phases = [(phase.value, [*steps]) for phase, steps in groups]
    return [p for p in phases if p[0] == Phase.EXECUTION or trajectory.policy != REPLAY]


def _call(call: ToolCall) -> str:
    arguments = (f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in call.arguments.items())
    return f"{call.name}({', '.join(arguments)})"


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        behaviour=lambda t: BEHAVIOURS.get(t.labels.get("behaviour", ""), ""),
        call=_call,
        outcome=lambda t: outcome(t).plain,
        phases=_phases,
        said=said,
        segments=segments,
        tools=tools_of,
    )
    return environment
