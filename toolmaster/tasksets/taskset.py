"""`Taskset`: named, versioned tasks with splits."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from toolmaster.errors import ConfigError, InputError, PolicyError, did_you_mean
from toolmaster.limits import Limits
from toolmaster.tasksets.order import Computed, reorder
from toolmaster.tasksets.task import Task

T = TypeVar("T")
TRAIN, TEST = "train", "test"
SEARCHED = 10_000
"""The most measured tasks that are searched for among those trained on."""
LISTED = 100_000
"""The most computed ids that are listed one by one; a longer set is compared by its split."""
MOST_MEASURED = 20_000
"""Number of tasks above which the caller must say how many to measure."""
TRAIN_PERCENT = 80
"""Percentage of tasks in the train split, by the hash of their id."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of a file that could not become a task."""

    file: str
    row: int
    """Index of the row in the file, from 0."""
    field: str
    """Path of the field at fault; "" for the whole row."""
    reason: str


class SharedResource(Generic[T]):
    """A resource that is opened by its first user and closed by its last one.

    Its `open` is the `resources` of a task set, whose tools use the open resource in `current`.

    Example:
        >>> from toolmaster.tools.sandbox import Sandbox
        >>> sandbox = SharedResource(Sandbox)
        >>> resources = sandbox.open  # for a `Taskset` whose tools call `sandbox.current`
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._users = 0
        self._opened: list[T] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the resource with the first user, close it with the last, on one event loop."""
        if not self._users and not self._lock.locked():
            self._lock = asyncio.Lock()  # a lock serves one event loop only
        async with self._lock:
            if not self._users:
                self._opened = [await self._stack.enter_async_context(self._make())]
            self._users += 1
        try:
            yield
        finally:
            async with self._lock:
                self._users -= 1
                if not self._users:
                    self._opened = []
                    await self._stack.aclose()

    @property
    def current(self) -> T:
        """The resource that is open; otherwise a PolicyError breaks the rollout."""
        if not self._opened:
            raise PolicyError("the task set is not open; run its tasks inside `tasks.open()`")
        return self._opened[0]


class Taskset(Sequence[Task]):
    """Tasks in a fixed order, by position or id; a slice or split of a task set is a task set.

    Args:
        name: its name in results.
        tasks: the tasks; their ids must differ.
        version: version of the tasks; figures of different versions are not compared.
        split_of: a function from a task id to the name of its split. None splits by a stable hash
            of the id into "train" (80%) and "test" (20%).
        limits: limits of a session of these tasks; None leaves them to the caller.
        left_out: rows of the source that could not become tasks.
        facts: what results depend on besides the tasks, such as the model of a judge.
        resources: opens what the tools need while rollouts run.
        oracle: makes demonstrations without a model, see `teacher.demonstrations.Oracle`.

    Attributes:
        name, version, split_of, limits, left_out, oracle: as above.
        ids: the task ids in order.
        part: name of the split that this is; "" for all tasks.
        split_names: names of the splits: the set's own, or "train" and "test" by a stable hash.
        set_of: from a task id to the name of the set it comes from; a mixture has several.

    Raises:
        InputError: two tasks share an id, or something is not a task.

    Example:
        >>> tasks = Taskset("sums", [Task("a", "1 + 1?", tools=[], answer="2")])
        >>> tasks[0] is tasks["a"], len(tasks)
        (True, 1)
        >>> train = tasks.split("train")[:100]  # a task set again
    """

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
        by_id: dict[str, Task] = {}
        for task in tasks:
            if not isinstance(task, Task):
                raise InputError(f"task set {name!r} holds tasks, received {task!r}")
            if task.id in by_id:
                raise InputError(f"task set {name!r}: the id {task.id!r} is used twice")
            by_id[task.id] = task
        self.name, self.version, self.part = name, version, ""
        self.ids: Sequence[str] = tuple(by_id)
        self.split_of: Callable[[str], str] = split_of or hash_split
        self.split_names: Sequence[str] = (TRAIN, TEST)
        if split_of is not None:
            self.split_names = tuple(dict.fromkeys(map(split_of, by_id)))
        self._splits: Mapping[str, Sequence[str]] = {}  # of a whole set that is drawn
        self.set_of: Callable[[str], str] = lambda _: name
        self.limits, self.left_out, self.oracle = limits, left_out, oracle
        self._find: Callable[[str], Task] = by_id.__getitem__
        self._facts = facts or {}
        self._resources: SharedResource[Any] = SharedResource(resources or nullcontext)

    @classmethod
    def drawn(
        cls,
        name: str,
        splits: Mapping[str, Sequence[str]],
        draw: Callable[[str], Task],
        split_of: Callable[[str], str],
        **options: Any,
    ) -> Taskset:
        """Return a task set that makes each task from its id on demand.

        Args:
            name: its name in results.
            splits: maps split names to the ids of their tasks, which are in random order; a
                sequence that computes its ids may be very long. The first entry is the whole set
                and may have the name "".
            draw: makes the task of an id; raises InputError for an unknown id.
            split_of: a function from a task id to the name of its split.
            **options: the others of `Taskset`.
        """
        new = cls(name, (), split_of=split_of, **options)
        new.ids, new._splits, new._find = next(iter(splits.values())), splits, draw
        new.split_names = tuple(name for name in splits if name)
        return new

    def _with(self, ids: Sequence[str], part: str = "") -> Taskset:
        """A part of the same set, with these ids."""
        new = copy.copy(self)
        new.ids, new.part, new._splits = ids, part or self.part, {}
        return new

    def __repr__(self) -> str:
        return f"<Taskset {self.label}: {len(self):,} tasks>"

    @property
    def label(self) -> str:
        """Name, split and version, for results: `world:short/test (v6s)`."""
        part = f"/{self.part}" if self.part else ""
        return f"{self.name}{part} ({self.version})"

    @property
    def facts(self) -> dict[str, str]:
        """What results depend on, to be stored with them."""
        return {**self._facts, "taskset": self.label}

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Task]:
        return map(self._find, iter(self.ids))

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
            return self._with(self.ids[key])
        if isinstance(key, int):
            return self._find(self.ids[key])
        try:
            return self._find(key)
        except KeyError:
            first = f", the first is {self.ids[0]!r}" if len(self.ids) else ""
            raise InputError(
                f"task set {self.name!r} has no task {key!r}; it has {len(self.ids)}{first}"
            ) from None

    def mapped(self, change: Callable[[Task], Task], name: str, **facts: str) -> Taskset:
        """Return the set with every task changed, under another name and with further facts."""
        new, find = copy.copy(self), self._find
        new.name, new._find = name, lambda task_id: change(find(task_id))
        new._facts = {**self._facts, **facts}
        return new

    def split(self, name: str) -> Taskset:
        """Return the tasks of one split.

        Raises:
            ConfigError: there is no such split, or this already is another one.
        """
        if name not in self.split_names:
            hint, allowed = did_you_mean(name, self.split_names), ", ".join(self.split_names)
            raise ConfigError(
                f"task set {self.name!r} has no split {name!r}{hint}; it has: {allowed or 'none'}"
            )
        if self.part not in ("", name):
            raise ConfigError(f"this is the split {self.part!r} of {self.name!r}, not {name!r}")
        if self.part == name:
            return self
        if name in self._splits:
            return self._with(self._splits[name], name)
        return self._with(tuple(i for i in self.ids if self.split_of(i) == name), name)

    def own_split(self, name: str) -> Taskset:
        """Return a split if the set has its own and none was chosen, else all tasks."""
        own = self.split_of is not hash_split and name in self.split_names
        return self.split(name) if own and not self.part else self

    def for_training(self) -> Taskset:
        """Return the train split if the set has its own and none was chosen, else all tasks."""
        return self.own_split(TRAIN)

    def for_evaluation(self) -> Taskset:
        """Return the test split if the set has its own and none was chosen, else all tasks."""
        return self.own_split(TEST)

    def shuffled(self, seed: int) -> Taskset:
        """Return the same tasks in another order, which depends on the seed alone."""
        new = self._with(reorder(self.ids, seed))
        new._splits = {name: reorder(ids, seed) for name, ids in self._splits.items()}
        return new

    def without(self, ids: Iterable[str]) -> Taskset:
        """Return the set without some of its tasks.

        Raises:
            InputError: the set computes too many ids; take a slice first.
        """
        if len(self.ids) > LISTED and isinstance(self.ids, Computed):
            raise InputError(
                f"task set {self.name!r} has {len(self.ids):,} tasks; take some before others are"
                " left out, as in tasks[:1000].without(ids)"
            )
        gone = set(ids)
        return self._with(tuple(task_id for task_id in self.ids if task_id not in gone))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Taskset]:
        """Keep open what the tools need; rollouts of these tasks run inside the context.

        Parts of one set that are open at the same time, on one event loop, share the resources.

        Raises:
            InputError: a resource cannot be opened.
        """
        async with self._resources.open():
            yield self


def refuse_overlap(training: Taskset, measured: Taskset) -> None:
    """Refuse to measure on tasks that are trained on.

    Raises:
        InputError: a task is in both sets; the message says how to separate them.
    """
    named = [(measured.set_of(task_id), task_id) for task_id in measured.ids[:SEARCHED]]
    if isinstance(training.ids, Computed) and len(training.ids) > LISTED:
        own = training.part or TRAIN
        own_set = training.set_of(training.ids[0])
        shared = [t for name, t in named if name == own_set and measured.split_of(t) == own]
    else:
        trained = {(training.set_of(task_id), task_id) for task_id in training.ids}
        shared = [task_id for name, task_id in named if (name, task_id) in trained]
    if shared:
        raise InputError(
            f"{shared[0]!r} is a task of both training ({training.label}) and evaluation"
            f" ({measured.label}); name splits that differ, such as split=train and split=test"
        )


def refuse_endless(measured: Taskset) -> None:
    """Refuse to measure on a whole set that has very many tasks.

    Raises:
        InputError: the caller must say how many tasks to measure.
    """
    if len(measured) > MOST_MEASURED:
        raise InputError(
            f"{measured.label} has {len(measured):,} tasks; say how many to measure: tasks=200 in"
            " its line, or a slice such as tasks[:200]"
        )


def hash_split(task_id: str) -> str:
    """Return the split of a task by a stable hash of its id: "train" for 80%, else "test"."""
    number = int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:4], "big")
    return TRAIN if number % 100 < TRAIN_PERCENT else TEST
