"""`mix`: one task set from several, each with a share given by its weight."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.tasksets.order import PATTERN, Computed, counts_of, mixed
from toolmaster.tasksets.taskset import LISTED, Taskset


def mix(parts: Mapping[Taskset, float] | Sequence[tuple[Taskset, float]]) -> Taskset:
    """Return a mixture of task sets, each with a share given by its weight.

    The shares hold in every hundred tasks. The mixture ends when the first set has no further task.
    Its limits are the largest of its sets, and its facts list the sets and their shares.

    Args:
        parts: task sets with their weights, above 0; the weights need not add up to 1.

    Returns:
        A task set, whose splits mix the splits of the same name.

    Raises:
        InputError: there are no sets or more than 100, a weight is not above 0, or two sets share
            an id.

    Example:
        >>> from toolmaster import Task, Taskset
        >>> a = Taskset("a", [Task("a/1", "q", tools=[]), Task("a/2", "q", tools=[])])
        >>> b = Taskset("b", [Task("b/1", "q", tools=[])])
        >>> mix({a: 2, b: 1}).ids[:]
        ('a/1', 'b/1', 'a/2')
    """
    members = list(parts.items() if isinstance(parts, Mapping) else parts)
    if not 0 < len(members) <= PATTERN or not all(0 < weight < math.inf for _, weight in members):
        raise InputError("a mixture takes 1 to 100 task sets with weights above 0, as weight=0.3")
    sets = [member for member, _ in members]
    _refuse_shared_ids(sets)
    counts = counts_of([weight for _, weight in members])
    splits: dict[str, Sequence[str]] = {"": mixed([s.ids for s in sets], counts)}
    for name in sets[0].split_names:
        if all(name in s.split_names and s.part in ("", name) for s in sets):
            splits[name] = mixed([s.split(name).ids for s in sets], counts)

    searched = sorted(sets, key=lambda member: isinstance(member.ids, Computed))

    @lru_cache(maxsize=LISTED)
    def owner(task_id: str) -> Taskset:
        for member in searched:
            if member is searched[-1] and isinstance(member.ids, Computed):
                return member  # the only set left; drawing the task would cost time
            try:
                member[task_id]
            except InputError:
                continue
            return member
        raise InputError(f"no set of the mixture has a task {task_id!r}")

    async def oracle(task_id: str, *settings: object) -> object:
        teacher = owner(task_id).oracle
        return None if teacher is None else await teacher(task_id, *settings)

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for member in sets:
                await stack.enter_async_context(member.open())
            yield

    limits = [s.limits for s in sets if s.limits is not None]
    mixture = Taskset.drawn(
        " + ".join(s.name for s in sets),
        splits,
        lambda task_id: owner(task_id)[task_id],
        lambda task_id: owner(task_id).split_of(task_id),
        version=" + ".join(s.version for s in sets),
        limits=Limits(**{k: max(getattr(x, k) for x in limits) for k in Limits.model_fields})
        if limits
        else None,
        left_out=[row for s in sets for row in s.left_out],
        facts=_facts(sets, counts),
        resources=resources,
        oracle=oracle if any(s.oracle is not None for s in sets) else None,
    )
    mixture.set_of = lambda task_id: owner(task_id).set_of(task_id)
    return mixture


def _facts(sets: Sequence[Taskset], counts: Sequence[int]) -> dict[str, str]:
    """Return what results depend on; values of the same fact are joined by " + "."""
    facts: dict[str, list[str]] = {}
    for member, share in zip(sets, counts, strict=True):
        facts.setdefault("mixture", []).append(f"{share}% {member.label}")
        for key, value in member.facts.items():
            if key != "taskset" and value not in facts.setdefault(key, []):
                facts[key].append(value)
    return {key: " + ".join(values) for key, values in facts.items()}


def _refuse_shared_ids(sets: Sequence[Taskset]) -> None:
    seen: set[str] = set()
    for member in sets:
        if isinstance(member.ids, tuple):
            shared = seen.intersection(member.ids)
            if shared:
                raise InputError(f"the id {min(shared)!r} is in two sets of the mixture")
            seen.update(member.ids)
