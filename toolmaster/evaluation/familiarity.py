"""Calls and success by how familiar the tools are: an analysis of arXiv 2601.12762.

By rule: no model judges anything here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ConfigDict

from toolmaster.evaluation.intervals import Interval, mean_interval
from toolmaster.evaluation.metrics import TaskKey, is_scored, key_of, success_by_task
from toolmaster.types import Record, Trajectory

STRATA = ("low", "medium", "high")
Numbers = dict[TaskKey, list[float]]


def familiarity(
    tools: Sequence[Mapping[str, Any]], training: Sequence[Mapping[str, Any]]
) -> list[float]:
    """How much each tool's document is like the nearest one met in training.

    The cosine of TF-IDF vectors over the words of name, description and parameters (names split at
    underscores and capitals); the inverse document frequencies are those of all documents given.

    Args:
        tools: JSON schemas in OpenAI's function form, as in `Trajectory.tools`.
        training: those of the training tools.

    Returns:
        One number in [0, 1] for each tool; 0 where `training` is empty.
    """
    known = list({json.dumps(tool, sort_keys=True): tool for tool in training}.values())
    counts = [Counter(_words(tool)) for tool in (*tools, *known)]
    spread = Counter(word for count in counts for word in count)
    vectors = [_vector(count, spread, len(counts)) for count in counts]
    holders: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for index, vector in enumerate(vectors[len(tools) :]):
        for word, weight in vector.items():
            holders[word].append((index, weight))
    columns = {word: np.asarray(pairs).T for word, pairs in holders.items()}
    nearest = []
    for vector in vectors[: len(tools)]:
        likeness = np.zeros(len(known) + 1)
        for word in vector.keys() & columns.keys():
            indices, weights = columns[word]
            likeness[indices.astype(int)] += vector[word] * weights
        nearest.append(min(1.0, float(likeness.max())))
    return nearest


class Stratum(Record):
    """The tools of one degree of familiarity."""

    model_config = ConfigDict(frozen=True)

    tools: int
    """Distinct documents."""
    familiarity: float
    """Their mean."""
    frequency: float
    """Calls for each time that such a tool was offered."""
    call_success: Interval | None
    """Share of the calls that were answered without an error, over tasks; None without calls."""
    success: Interval | None
    """Success of the rollouts whose tools are, on average, of this degree, over tasks."""


def by_familiarity(
    trajectories: Sequence[Trajectory], training: Sequence[Mapping[str, Any]]
) -> dict[str, Stratum]:
    """Calls and success by how familiar the tools are: the lower, middle and upper third of them.

    Args:
        trajectories: of one policy; rollouts that broke or were not scored are left out.
        training: JSON schemas of the training tools.

    Returns:
        "low", "medium" and "high" to stratum; a stratum without tools is missing.
    """
    trajectories = [*filter(is_scored, trajectories)]
    documents = {json.dumps(tool, sort_keys=True): tool for t in trajectories for tool in t.tools}
    degrees = dict(zip(documents, familiarity([*documents.values()], training), strict=True))
    if not degrees:
        return {}
    cuts = np.quantile(list(degrees.values()), [1 / 3, 2 / 3])
    offers: Counter[int] = Counter()
    called: Counter[int] = Counter()
    calls: list[Numbers] = [{}, {}, {}]
    outcomes: list[list[Trajectory]] = [[], [], []]
    for trajectory in trajectories:
        offered = {
            _name(tool): degrees[json.dumps(tool, sort_keys=True)] for tool in trajectory.tools
        }
        offers.update(_third(degree, cuts) for degree in offered.values())
        for step in trajectory.calls():
            if step.call is not None and step.call.name in offered:
                third = _third(offered[step.call.name], cuts)
                called[third] += 1
                calls[third].setdefault(key_of(trajectory), []).append(float(step.error is None))
        if offered:
            outcomes[_third(sum(offered.values()) / len(offered), cuts)].append(trajectory)
    strata = {}
    for third, name in enumerate(STRATA):
        members = [degree for degree in degrees.values() if _third(degree, cuts) == third]
        if members:
            successes = [*success_by_task(outcomes[third]).values()]
            worked = [sum(n) / len(n) for n in calls[third].values()]
            strata[name] = Stratum(
                tools=len(members),
                familiarity=sum(members) / len(members),
                frequency=called[third] / offers[third],
                call_success=mean_interval(worked) if worked else None,
                success=mean_interval(successes) if successes else None,
            )
    return strata


def _third(degree: float, cuts: Any) -> int:
    return int(degree > cuts[0]) + int(degree > cuts[1])


def _vector(count: Counter[str], spread: Counter[str], documents: int) -> dict[str, float]:
    """TF-IDF weights of unit length; smoothed, so that a word in every document still counts."""
    weights = {
        word: number * (1 + math.log((1 + documents) / (1 + spread[word])))
        for word, number in count.items()
    }
    length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def _words(tool: Mapping[str, Any]) -> list[str]:
    function = tool.get("function", tool)
    properties = function.get("parameters", {}).get("properties", {})
    parts = [function.get("name", ""), function.get("description", ""), *properties]
    parts += [p.get("description", "") for p in properties.values() if isinstance(p, dict)]
    return [word.lower() for part in parts for word in _WORD.findall(str(part))]


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool.get("function", tool).get("name", ""))
