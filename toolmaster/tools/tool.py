"""`Tool` and `ToolSet`: the form into which every tool source is converted.

A tool is a JSON schema and `execute(state, arguments)`. A tool set binds tools to one state; trials
are harmless because they run on a fork of it. Neither knows about models, prompts or phases.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tools.schemas import violation
from toolmaster.types import Effect, TrialMode

_SHARED = ("$defs", "definitions")
"""Keys of a schema whose values other parts of it refer to."""


def in_quotes(names: Iterable[str]) -> str:
    """Return names in double quotes, as they are written in a call, for errors that models read.

    After a space or a single quote a name has other tokens than in a call, and a small model then
    copies it wrongly.
    """
    return ", ".join(f'"{name}"' for name in names)


class ToolRefusal(Exception):  # noqa: N818 - a normal answer of a tool, not a fault of the program
    """Raised by a tool to refuse a call; its message becomes the observation."""


class NotTried(ToolRefusal):
    """Raised when a call reached for what no trial may touch, and was stopped."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One callable tool.

    Args:
        name: the name in the schema, which the policy writes.
        description: documentation shown to the policy.
        parameters: JSON schema of the arguments (an object schema).
        execute: `execute(state, arguments) -> result`, plain or async. An exception becomes an
            observation; a result is shown as text (strings as they are, the rest as JSON).
        effect: what a call may do to the world.
        timeout_s: seconds that one call may take; None runs it inline without a limit, which is for
            trusted in-memory tools only.
        validated: whether arguments are validated against `parameters` before a call; False if the
            schema is documentation only and the tool validates them, as in many benchmarks.
        trials: the trial mode of its calls; None takes that of the set: `fork` if its state can be
            copied, else `read_only`.
        source: the origin of the tool (a server, a document, a module), shown to users and stored
            with lessons.
        own_name: the name at the source, if it is another one; "" for `name`.
        thread_safe: whether calls may run at the same time on one state. Otherwise calls of all
            tools and sessions that share the state run one at a time.
        acts_on: a function from the state to the object that a call may change, or to None if calls
            may run at the same time. Without it that object is the state. Without a state, calls of
            an async tool run at the same time, those of a plain one run one at a time.
        current: an async function that returns the fields of this tool that have changed at its
            source, to be called before a call is approved; None for a tool that cannot change. The
            `execute` among them refuses if the tool changes once more.
        obstacle: why a trial runs it only if it reads, where that is not by choice; shown to users.

    Raises:
        InputError: there is no such effect.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    execute: Callable[[Any, dict[str, Any]], Any]
    effect: Effect = Effect.UNKNOWN
    timeout_s: float | None = None
    validated: bool = True
    trials: TrialMode | None = None
    source: str = ""
    own_name: str = ""
    thread_safe: bool = False
    acts_on: Callable[[Any], Any] | None = None
    current: Callable[[], Awaitable[dict[str, Any]]] | None = None
    obstacle: str = ""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "effect", Effect(self.effect))
        except ValueError:
            allowed = ", ".join(Effect)
            raise InputError(
                f"tool {self.name!r}: its effect is one of {allowed}; received {self.effect!r}"
            ) from None

    def shared(self, state: Any) -> Any:
        """Return the object that calls may change one at a time; None if they may run together."""
        if self.thread_safe:
            return None
        if self.acts_on is not None:
            return self.acts_on(state)
        if state is not None or inspect.iscoroutinefunction(self.execute):
            return state
        return self.execute

    def schema(self) -> dict[str, Any]:
        """Return the tool in OpenAI's function form."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    def given(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments without a null for an optional parameter that does not take one."""
        if not self.validated or None not in arguments.values():
            return arguments
        required = self.parameters.get("required", ())
        known = self.parameters.get("properties", {})
        shared = {key: one for key, one in self.parameters.items() if key in _SHARED}
        return {
            key: value
            for key, value in arguments.items()
            if value is not None
            or key in required
            or key not in known
            or violation({**shared, **known[key]}, None) is None
        }

    def violation(self, arguments: dict[str, Any]) -> str | None:
        """Return how `arguments` violate the schema, in one line; None if they fit it."""
        if not self.validated:
            return None
        known = self.parameters.get("properties", {})
        unknown = [key for key in arguments if key not in known]
        if unknown and self.parameters.get("additionalProperties") is False:
            return f'unknown parameter "{unknown[0]}"; allowed: {in_quotes(known) or "none"}'
        missing = [key for key in self.parameters.get("required", ()) if key not in arguments]
        if missing:
            return f'missing required parameter "{missing[0]}"'
        return violation(self.parameters, arguments)


@dataclass(slots=True)
class ToolSet:
    """Tools bound to one state.

    Args:
        tools: the tools, names unique.
        state: passed to every `execute`; None for tools that keep none.
        copy_state: a function that copies the state (`copy.deepcopy` for plain data). None means
            that it cannot be copied, as with live services and functions that reach outside their
            state: trials then call only tools that read, unless a tool has another trial mode.
        try_state: a function that copies the state for a trial. None takes `copy_state`, as for
            plain data; a copy for a rollout may do what is real, one for a trial may not.
        live: whether the tools act on a service outside this program, which all rollouts share.
        object_of: a function from the state to the object that the tools act on, which a task's
            check gets. None if the tools are functions.
        left_out: maps the names of functions that cannot be tools to the reasons.

    Raises:
        InputError: two tools share a name, or a tool needs a fork that cannot be made.
    """

    tools: tuple[Tool, ...]
    state: Any = None
    copy_state: Callable[[Any], Any] | None = None
    try_state: Callable[[Any], Any] | None = None
    live: bool = False
    object_of: Callable[[Any], Any] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    _by_name: dict[str, Tool] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {tool.name: tool for tool in self.tools}
        if len(self._by_name) != len(self.tools):
            names = [tool.name for tool in self.tools]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"two tools are called {twice[0]!r}; rename one of them")
        for tool in self.tools:
            if tool.trials is TrialMode.FORK and self.copy_state is None:
                raise InputError(
                    f"tool {tool.name!r} is to be tried on a fork, but its state cannot be copied;"
                    " give copy_state, or trials 'read_only' or 'live'"
                )

    def __getitem__(self, name: str) -> Tool:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def names(self) -> Iterable[str]:
        """Return the tools' names in order."""
        return self._by_name

    def schemas(self) -> list[dict[str, Any]]:
        """Return all tools in OpenAI's function form."""
        return [tool.schema() for tool in self.tools]

    def trial_mode(self, name: str) -> TrialMode:
        """Return how a trial runs the calls of a tool."""
        default = TrialMode.READ_ONLY if self.copy_state is None else TrialMode.FORK
        return self._by_name[name].trials or default

    def is_tried(self, name: str) -> bool:
        """Return whether a trial runs the calls of a tool, rather than only checking them."""
        reads = self._by_name[name].effect is Effect.READ
        return reads or self.trial_mode(name) is not TrialMode.READ_ONLY

    def fork(self, *, trial: bool = False) -> ToolSet:
        """Return the same tools over a copy of the state.

        Args:
            trial: whether the copy is for a trial; otherwise its calls may do what is real.

        Raises:
            InputError: the state cannot be copied.
        """
        copy_state = (trial and self.try_state) or self.copy_state
        if copy_state is None:
            raise InputError("these tools have no state that can be copied")
        return replace(self, state=copy_state(self.state))

    def subject(self) -> Any:
        """Return what a task's check gets: the object that the tools act on, or else this set."""
        return self if self.object_of is None else self.object_of(self.state)
