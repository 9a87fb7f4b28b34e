"""`mix`: one task set from several, each with a share given by its weight."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.tasksets.taskset import LISTED, Taskset


def mix(parts: Mapping[Taskset, float] | Sequence[tuple[Taskset, float]]) -> Taskset:
    """Return a mixture of task sets, each with a share given by its weight.

    Tasks of the sets alternate. The mixture ends where the first set has no further task; of each
    set it takes at most 100,000. Its limits are the largest of its sets, and its facts say which
    sets it mixes, in which shares.

    Args:
        parts: task sets with their weights, above 0; the weights need not add up to 1.

    Returns:
        A task set, whose splits mix the splits of the same name.

    Raises:
        InputError: no sets, a weight that is not above 0, or an id that two sets share.

    Example:
        >>> from toolmaster import Task, Taskset
        >>> a = Taskset("a", [Task("a/1", "q", tools=[]), Task("a/2", "q", tools=[])])
        >>> b = Taskset("b", [Task("b/1", "q", tools=[])])
        >>> mix({a: 2, b: 1}).ids
        ('a/1', 'b/1', 'a/2')
    """
    members = list(parts.items() if isinstance(parts, Mapping) else parts)
    if not members or not all(0 < weight < math.inf for _, weight in members):
        raise InputError("a mixture takes task sets with weights above 0, such as weight=0.3")
    sets, weights = [member for member, _ in members], [weight for _, weight in members]
    owners: dict[str, Taskset] = {}

    def alternate(members: Sequence[Taskset]) -> tuple[str, ...]:
        """Return the ids of the members in turn, as long as all have some; note their owners."""
        pairs = list(zip(members, weights, strict=True))
        end = min(min(len(member), LISTED) / weight for member, weight in pairs)
        places: list[tuple[float, str]] = []
        taken: set[str] = set()
        for (member, weight), whole in zip(pairs, sets, strict=True):
            count = min(math.ceil(end * weight - 0.5), len(member))
            for place, task_id in enumerate(member.ids[:count]):
                if task_id in taken or owners.setdefault(task_id, whole) is not whole:
                    raise InputError(f"the id {task_id!r} is in two sets of the mixture")
                taken.add(task_id)
                places.append(((place + 0.5) / weight, task_id))
        return tuple(task_id for _, task_id in sorted(places, key=lambda place: place[0]))

    splits = {"": alternate(sets)}
    for name in sets[0].split_names:
        if all(name in s.split_names and s.part in ("", name) for s in sets):
            splits[name] = alternate([s.split(name) for s in sets])

    async def oracle(task_id: str, *settings: object) -> object:
        teacher = owners[task_id].oracle
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
        lambda task_id: owners[task_id][task_id],
        lambda task_id: owners[task_id].split_of(task_id),
        version=" + ".join(s.version for s in sets),
        limits=Limits(**{k: max(getattr(x, k) for x in limits) for k in Limits.model_fields})
        if limits
        else None,
        left_out=[row for s in sets for row in s.left_out],
        facts=_facts(sets, weights),
        resources=resources,
        oracle=oracle if any(s.oracle is not None for s in sets) else None,
    )
    mixture.set_of = lambda task_id: owners[task_id].set_of(task_id)
    return mixture


def _facts(sets: Sequence[Taskset], weights: Sequence[float]) -> dict[str, str]:
    """What results on the mixture depend on; facts of one name stand side by side."""
    facts: dict[str, list[str]] = {}
    for member, weight in zip(sets, weights, strict=True):
        share = f"{weight / sum(weights):.0%} {member.label}"
        facts.setdefault("mixture", []).append(share)
        for key, value in member.facts.items():
            if key != "taskset" and value not in facts.setdefault(key, []):
                facts[key].append(value)
    return {key: " + ".join(values) for key, values in facts.items()}
