"""`OwnTools`: makes the tools of each rollout from tool sources, fresh or copied where it can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from toolmaster.errors import InputError
from toolmaster.tasksets.task import Isolation, isolation_of
from toolmaster.tools import ToolSet
from toolmaster.tools.merging import merge
from toolmaster.tools.python import find_object, makes_tools
from toolmaster.tools.sources import Source, open_source, parse_sources, python_tools


class OwnTools:
    """A factory of tools, for `Task.tools`.

    A class or factory of a Python source is called for each rollout; another Python object is
    copied for each; MCP servers and HTTP services are opened once by `open`, and shared.

    Args:
        specs: one line for each source, see `tools.sources`.

    Attributes:
        isolation: how the rollouts are kept apart, see `Task.isolation`.

    Raises:
        ConfigError: no source, or one that cannot be recognised.
        InputError: a Python source that is missing, fails on import or holds no tools.
    """

    isolation: Isolation

    def __init__(self, specs: Sequence[str]) -> None:
        self._sources = parse_sources(specs)
        self._fresh = {i for i, source in enumerate(self._sources) if _is_fresh(source)}
        self._opened: dict[int, ToolSet] = {}
        """Index of a source to its tools, for sources that are not fresh."""
        kinds: set[Isolation] = set()
        for index, source in enumerate(self._sources):
            if source.kind != "python":
                kinds.add(Isolation.SHARED)
                continue
            tools = python_tools(source)
            if index in self._fresh:
                kinds.add(Isolation.FRESH)
            else:
                self._opened[index] = tools
                kinds.add(isolation_of(tools))
        self.isolation = next(kind for kind in _WEAKEST_FIRST if kind in kinds)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the servers and services, for as long as the context lasts.

        Raises:
            ConfigError: an option that a source cannot have.
            InputError: a source that is missing, broken or has no tools.
        """
        python = dict(self._opened)
        async with AsyncExitStack() as stack:
            for index, source in enumerate(self._sources):
                if source.kind != "python":
                    self._opened[index] = await stack.enter_async_context(open_source(source))
            try:
                yield
            finally:
                self._opened = python

    def __call__(self) -> ToolSet:
        """Make the tools of one rollout.

        Raises:
            InputError: a server or service is not open.
        """
        return merge([(source.label, self._made(i)) for i, source in enumerate(self._sources)])

    def _made(self, index: int) -> ToolSet:
        source = self._sources[index]
        if index in self._fresh:
            return python_tools(source)
        if index not in self._opened:
            raise InputError(f"{source.place} is not open; run these tasks inside `tasks.open()`")
        tools = self._opened[index]
        return tools if tools.copy_state is None else tools.fork()


_WEAKEST_FIRST = (Isolation.SHARED, Isolation.FORKED, Isolation.READ_ONLY, Isolation.FRESH)


def _is_fresh(source: Source) -> bool:
    named = source.kind == "python" and source.name is not None
    return named and makes_tools(find_object(f"{source.place}:{source.name}"))
