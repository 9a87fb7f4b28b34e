"""`Taskset`: named, versioned tasks with splits.

shop = Taskset("shop", [Task(...), Task(...)])
shop.split("train")[:100]          # a task set again
shop["order"]                      # one task by its id
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, overload

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.tasksets.order import PATTERN, Computed, reorder
from toolmaster.tasksets.task import Task

TRAIN, TEST = "train", "test"
SEARCHED = 10_000
"""Tasks of a measured set that are looked for among those trained on."""
LISTED = 100_000
"""Computed ids that are listed one by one; a set of more of them is known by its split."""
MOST_MEASURED = 20_000
"""Tasks of a set that makes them on demand, above which the caller must say how many to measure."""
TRAIN_PERCENT = 80
"""Percent of the tasks that the hash of their id puts into the train split."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of a file that could not become a task."""

    file: str
    row: int
    """Index of the row in the file, from 0."""
    field: str
    """Path of the field at fault; "" where it is the row as a whole."""
    reason: str


@dataclass(slots=True)
class _Opening:
    """What the tools of a task set need, opened once for all parts that are open at a time."""

    resources: Callable[[], AbstractAsyncContextManager[Any]] | None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    users: int = 0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Open with the first user, close with the last."""
        if not self.users and not self.lock.locked():
            self.lock = asyncio.Lock()  # one that served another event loop may not serve this one
        async with self.lock:
            if self.resources is not None and not self.users:
                await self.stack.enter_async_context(self.resources())
            self.users += 1
        try:
            yield
        finally:
            async with self.lock:
                self.users -= 1
                if not self.users:
                    await self.stack.aclose()


@dataclass(frozen=True, slots=True)
class _Source:
    """What all parts of one task set share."""

    name: str
    version: str
    find: Callable[[str], Task]
    split_of: Callable[[str], str]
    splits: Mapping[str, Sequence[str]]
    """The whole set's own splits, where it has some."""
    limits: Limits | None
    left_out: Sequence[LeftOut]
    facts: Mapping[str, str]
    opening: _Opening
    oracle: Any
    set_of: Callable[[str], str]
    """From a task id to the name of the set that it comes from; a mixture has several."""


@dataclass(frozen=True, slots=True, eq=False)
class Taskset(Sequence[Task]):
    """Tasks in a fixed order, found by position or id; a slice or split of one is one again.

    Attributes:
        ids: the task ids in order.
        part: name of the split that this is; "" for all tasks.

    Example:
        >>> tasks = Taskset("sums", [Task("a", "1 + 1?", tools=[], answer="2")])
        >>> tasks[0] is tasks["a"], len(tasks)
        (True, 1)
    """

    ids: Sequence[str]
    source: _Source = field(repr=False)
    part: str = ""

    def __init__(
        self,
        name: str,
        tasks: Iterable[Task],
        *,
        version: str = "1",
        split_of: Callable[[str], str] | None = None,
        limits: Limits | None = None,
        left_out: Sequence[LeftOut] = (),
        facts: Mapping[str, str] | None = None,
        resources: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        oracle: Any = None,
    ) -> None:
        """Make a task set of tasks that are all there.

        Args:
            name: what results call it.
            tasks: their ids must differ.
            version: of the tasks; figures of two versions are not compared.
            split_of: from a task id to the name of its split. None sorts the ids by a stable hash
                into "train" (80%) and "test" (20%).
            limits: what a session of these tasks should allow; None leaves it to the caller.
            left_out: rows of the source that could not become tasks.
            facts: what results depend on beside the tasks, such as a judge's model.
            resources: opens what the tools need for as long as rollouts run.
            oracle: makes perfect demonstrations, see `teacher.demonstrations.Oracle`.

        Raises:
            InputError: two tasks share an id, or something is not a task.
        """
        found: dict[str, Task] = {}
        for task in tasks:
            if not isinstance(task, Task):
                raise InputError(f"task set {name!r} holds tasks, received {task!r}")
            if task.id in found:
                raise InputError(f"task set {name!r}: the id {task.id!r} is used twice")
            found[task.id] = task
        splits: dict[str, list[str]] = {}
        if split_of is not None:
            for task_id in found:
                splits.setdefault(split_of(task_id), []).append(task_id)
        source = _Source(
            name,
            version,
            found.__getitem__,
            split_of or hash_split,
            splits,
            limits,
            left_out,
            facts or {},
            _Opening(resources),
            oracle,
            lambda _: name,
        )
        self._set(tuple(found), source, "")

    def _set(self, ids: Sequence[str], source: _Source, part: str) -> None:
        for key, value in (("ids", ids), ("source", source), ("part", part)):
            object.__setattr__(self, key, value)

    @classmethod
    def drawn(
        cls,
        name: str,
        splits: Mapping[str, Sequence[str]],
        draw: Callable[[str], Task],
        split_of: Callable[[str], str],
        *,
        version: str,
        limits: Limits | None = None,
        left_out: Sequence[LeftOut] = (),
        facts: Mapping[str, str] | None = None,
        resources: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        oracle: Any = None,
        set_of: Callable[[str], str] | None = None,
    ) -> Taskset:
        """Make a task set whose tasks are made from their ids when they are asked for.

        Args:
            name: what results call it.
            splits: split name to the ids of its tasks, in an order that is random already; a
                sequence that computes its ids may be very long. The first entry is the whole set
                and may have "" for a name.
            draw: makes the task of an id; raises InputError for an id it does not know.
            split_of: from a task id to the name of its split.
            version: of the tasks.
            limits: see `Taskset`.
            left_out: see `Taskset`.
            facts: see `Taskset`.
            resources: see `Taskset`.
            oracle: see `Taskset`.
            set_of: from a task id to the name of the set that it comes from, for a mixture.
        """
        source = _Source(
            name,
            version,
            draw,
            split_of,
            splits,
            limits,
            left_out,
            facts or {},
            _Opening(resources),
            oracle,
            set_of or (lambda _: name),
        )
        return cls._part(next(iter(splits.values())), source, "")

    @classmethod
    def _part(cls, ids: Sequence[str], source: _Source, part: str) -> Taskset:
        new = object.__new__(cls)
        new._set(ids, source, part)
        return new

    @property
    def name(self) -> str:
        """What results call it."""
        return self.source.name

    @property
    def version(self) -> str:
        """Version of the tasks."""
        return self.source.version

    @property
    def label(self) -> str:
        """Name, split and version, for results: `world:short/test (v5s)`."""
        part = f"/{self.part}" if self.part else ""
        return f"{self.name}{part} ({self.version})"

    def split_of(self, task_id: str) -> str:
        """Name of the split of a task id."""
        return self.source.split_of(task_id)

    @property
    def split_names(self) -> Sequence[str]:
        """Names of the splits: the set's own, or "train" and "test" by a stable hash."""
        own = self.source.splits
        return tuple(name for name in own if name) if own else (TRAIN, TEST)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Task]:
        return map(self.source.find, iter(self.ids))

    def __contains__(self, task: object) -> bool:
        return (task.id if isinstance(task, Task) else task) in self.ids

    @overload
    def __getitem__(self, key: int | str) -> Task: ...

    @overload
    def __getitem__(self, key: slice) -> Taskset: ...

    def __getitem__(self, key: int | str | slice) -> Task | Taskset:
        """Return a task by position or id, or the task set of a slice.

        Raises:
            InputError: no task has this id.
            IndexError: there is no such position.
        """
        if isinstance(key, slice):
            return self._part(self.ids[key], self.source, self.part)
        if isinstance(key, int):
            return self.source.find(self.ids[key])
        try:
            return self.source.find(key)
        except KeyError:
            first = f", the first is {self.ids[0]!r}" if len(self.ids) else ""
            raise InputError(
                f"task set {self.name!r} has no task {key!r}; it has {len(self.ids)}{first}"
            ) from None

    def split(self, name: str) -> Taskset:
        """Return the tasks of one split.

        Raises:
            InputError: there is no such split, or this already is another one.
        """
        if name not in self.split_names:
            allowed = ", ".join(self.split_names) or "none"
            raise InputError(f"task set {self.name!r} has no split {name!r}; it has: {allowed}")
        if self.part not in ("", name):
            raise InputError(f"this is the split {self.part!r} of {self.name!r}, not {name!r}")
        if self.part == name:
            return self
        if isinstance(self.ids, Computed):  # the whole of a drawn set, in some order
            return self._part(self._reordered(self.source.splits[name]), self.source, name)
        kept = tuple(task_id for task_id in self.ids if self.source.split_of(task_id) == name)
        return self._part(kept, self.source, name)

    def for_training(self) -> Taskset:
        """The set's own train split, where it has one and no other was chosen; else all of it."""
        return self._own(TRAIN)

    def for_evaluation(self) -> Taskset:
        """The set's own test split, where it has one and no other was chosen; else all of it."""
        return self._own(TEST)

    def _own(self, name: str) -> Taskset:
        return self.split(name) if not self.part and name in self.source.splits else self

    def shuffled(self, seed: int) -> Taskset:
        """Return the same tasks in another order, the same one for the same seed.

        A drawn set is in random order already: another seed starts at another place in it.
        """
        return self._part(reorder(self.ids, seed), self.source, self.part)

    def _reordered(self, ids: Sequence[str]) -> Sequence[str]:
        """Ids of another split in the order of these."""
        seed = getattr(self.ids, "seed", None)
        return ids if seed is None else reorder(ids, seed)

    def without(self, ids: Iterable[str]) -> Taskset:
        """Return the set without some of its tasks.

        Raises:
            InputError: its ids are drawn without end; take a number of them first.
        """
        if len(self.ids) > LISTED and isinstance(self.ids, Computed):
            raise InputError(
                f"task set {self.name!r} has {len(self.ids):,} tasks; take some before others are"
                " left out, as in tasks[:1000].without(ids)"
            )
        gone = set(ids)
        kept = tuple(task_id for task_id in self.ids if task_id not in gone)
        return self._part(kept, self.source, self.part)

    @property
    def limits(self) -> Limits | None:
        """What a session of these tasks should allow; None leaves it to the caller."""
        return self.source.limits

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """Rows of the source that could not become tasks."""
        return self.source.left_out

    @property
    def facts(self) -> dict[str, str]:
        """What results depend on, to be kept with them."""
        return {**self.source.facts, "taskset": self.label}

    @property
    def oracle(self) -> Any:
        """Makes perfect demonstrations of these tasks; None where nothing does."""
        return self.source.oracle

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Taskset]:
        """Open what the tools need: rollouts of these tasks run inside.

        Parts of one set that are open at the same time share what is opened, on one event loop.

        Raises:
            InputError: something that the tools need cannot be opened.
        """
        async with self.source.opening.use():
            yield self


def refuse_overlap(training: Taskset, measured: Taskset) -> None:
    """Refuse to measure on tasks that are trained on.

    Raises:
        InputError: a task is in both sets; says how to keep them apart.
    """
    ids: Sequence[str] = measured.ids[:SEARCHED]
    named = [(measured.source.set_of(task_id), task_id) for task_id in ids]
    if isinstance(training.ids, Computed) and len(training.ids) > LISTED:
        own = training.part or TRAIN
        sets = {training.source.set_of(task_id) for task_id in training.ids[:PATTERN]}
        shared = [t for name, t in named if name in sets and measured.split_of(t) == own]
    else:
        trained = {(training.source.set_of(task_id), task_id) for task_id in training.ids}
        shared = [task_id for name, task_id in named if (name, task_id) in trained]
    if shared:
        raise InputError(
            f"{shared[0]!r} is a task of both training ({training.label}) and evaluation"
            f" ({measured.label}); name splits that differ, such as split=train and split=test"
        )


def refuse_endless(measured: Taskset) -> None:
    """Refuse to measure on a whole set that makes its tasks on demand and has very many.

    Raises:
        InputError: the caller must say how many tasks to measure.
    """
    if len(measured) > MOST_MEASURED and not isinstance(measured.ids, tuple):
        raise InputError(
            f"{measured.label} has {len(measured):,} tasks; say how many to measure: tasks=200 in"
            " its line, or a slice such as tasks[:200]"
        )


def hash_split(task_id: str) -> str:
    """The split of a task by a stable hash of its id: "train" for 80% of the ids, else "test"."""
    number = int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:4], "big")
    return TRAIN if number % 100 < TRAIN_PERCENT else TEST
