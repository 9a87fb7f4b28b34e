"""The analyses of the ToolMaster paper (arXiv 2601.12762), as functions of finished trajectories.

Success against the number of calls, the classes of errors, and success by how familiar the tools
are. All by rule: no model judges anything here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from pydantic import ConfigDict

from toolmaster.evaluation.metrics import Interval, share
from toolmaster.types import Record, Trajectory

MOST_CALLS = 8
"""Trajectories with this many calls or more are shown together."""
STRATA = ("low", "medium", "high")


class Share(Record):
    """A share with its 95% interval, and how many things it is a share of."""

    model_config = ConfigDict(frozen=True)

    count: int
    share: Interval


class ErrorClass(StrEnum):
    """Why a trajectory failed; the paper's three classes."""

    INCOMPLETE_CHAIN = "incomplete tool chain"
    """A tool that is needed was never called, or nothing was answered."""
    EXECUTION_FAILURE = "execution failure"
    """A tool was called and never worked."""
    REASONING_ERROR = "reasoning error"
    """Every tool that is needed worked, and the outcome is wrong all the same."""


def success_by_calls(trajectories: Iterable[Trajectory]) -> dict[str, Share]:
    """Success against the number of well-formed calls, of both phases.

    Returns:
        Number of calls ("0", "1", ... and "8+") to the share of trajectories that succeeded.
    """
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        groups[min(len(trajectory.calls()), MOST_CALLS)].append(float(trajectory.success))
    return {
        f"{calls}+" if calls == MOST_CALLS else str(calls): share_of(outcomes)
        for calls, outcomes in sorted(groups.items())
    }


def error_class(trajectory: Trajectory, needed: Iterable[str] = ()) -> ErrorClass | None:
    """Why a trajectory failed.

    The first rule that holds: a tool that is needed was called and never worked (execution
    failure); one was never called, or there is no answer (incomplete tool chain); else a reasoning
    error. Without `needed`, every tool that was called counts as needed, and a trajectory without
    calls as an incomplete chain.

    Args:
        trajectory: any.
        needed: names of the tools that a right solution calls.

    Returns:
        The class; None for a success, and for a rollout that broke by no doing of the model.
    """
    if trajectory.success or trajectory.error is not None:
        return None
    steps = [(s.call.name, s.error) for s in trajectory.calls() if s.call is not None]
    called = {name for name, _ in steps}
    worked = {name for name, error in steps if error is None}
    chain = set(needed) or called
    if (chain & called) - worked:
        return ErrorClass.EXECUTION_FAILURE
    if chain - called or not called or trajectory.answer is None:
        return ErrorClass.INCOMPLETE_CHAIN
    return ErrorClass.REASONING_ERROR


def error_classes(
    trajectories: Iterable[Trajectory], needed: Mapping[str, Iterable[str]] | None = None
) -> dict[ErrorClass, int]:
    """How many trajectories failed for which reason.

    Args:
        trajectories: any.
        needed: task id to the names of the tools that a right solution calls, where known.
    """
    found = Counter(error_class(t, (needed or {}).get(t.task_id, ())) for t in trajectories)
    return {kind: found[kind] for kind in ErrorClass}


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
    call_success: Share | None
    """Share of the calls that were answered without an error; None without calls. Here calls are
    what is resampled."""
    success: Share | None
    """Share of successes among trajectories whose tools are, on average, of this degree."""


def by_familiarity(
    trajectories: Sequence[Trajectory], training: Sequence[Mapping[str, Any]]
) -> dict[str, Stratum]:
    """Calls and success by how familiar the tools are: the lower, middle and upper third of them.

    Args:
        trajectories: of one policy.
        training: JSON schemas of the training tools.

    Returns:
        "low", "medium" and "high" to stratum; a stratum without tools is missing.
    """
    documents = {json.dumps(tool, sort_keys=True): tool for t in trajectories for tool in t.tools}
    degrees = dict(zip(documents, familiarity([*documents.values()], training), strict=True))
    if not degrees:
        return {}
    cuts = np.quantile(list(degrees.values()), [1 / 3, 2 / 3])
    offers: Counter[int] = Counter()
    calls: defaultdict[int, list[float]] = defaultdict(list)
    outcomes: defaultdict[int, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        offered = {
            _name(tool): degrees[json.dumps(tool, sort_keys=True)] for tool in trajectory.tools
        }
        offers.update(_third(degree, cuts) for degree in offered.values())
        for step in trajectory.calls():
            if step.call is not None and step.call.name in offered:
                calls[_third(offered[step.call.name], cuts)].append(float(step.error is None))
        if offered:
            mean = sum(offered.values()) / len(offered)
            outcomes[_third(mean, cuts)].append(float(trajectory.success))
    strata = {}
    for third, name in enumerate(STRATA):
        members = [degree for degree in degrees.values() if _third(degree, cuts) == third]
        if members:
            strata[name] = Stratum(
                tools=len(members),
                familiarity=sum(members) / len(members),
                frequency=len(calls[third]) / offers[third],
                call_success=share_of(calls[third]) if calls[third] else None,
                success=share_of(outcomes[third]) if outcomes[third] else None,
            )
    return strata


def _third(degree: float, cuts: Any) -> int:
    return int(degree > cuts[0]) + int(degree > cuts[1])


def share_of(outcomes: Sequence[float]) -> Share:
    """The mean of numbers in [0, 1] with its interval; they are what is resampled."""
    return Share(count=len(outcomes), share=share(outcomes))


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
