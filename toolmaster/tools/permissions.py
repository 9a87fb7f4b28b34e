"""Approvers decide which calls a session may run for real.

A session asks its approver before each call that reaches the real world: every call in execution,
and in a trial every call that does not run on a copy. By default, calls that only read run without
a question.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TextIO

from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Decision, ToolCall

_NOBODY = "nobody is there to permit it (the user may beforehand, with --yes or a file of rules)"
_SHOWN_CHARS = 600
"""The most characters of the arguments that a question shows."""


class Approver(Protocol):
    """Decides which calls may run for real; write your own as a class with these methods."""

    def decide(self, tool: Tool) -> tuple[Decision, str]:
        """Return what happens to calls of a tool, and why in a few words.

        A trial that cannot run the call tells the model the reason.
        """
        ...

    async def approve(self, tool: Tool, call: ToolCall) -> str | None:
        """Return None if this call may run; otherwise the reason, which the model is told."""
        ...


class ToolRules(Settings):
    """Rules by tool name, with `*` and `?` as in file names; `deny` wins over `ask` over `allow`.

    A rule also matches the name that a tool has at its source (see `Tool.own_name`).
    """

    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class EffectRules(Settings):
    """Rules by effect, for tools that no name rule matches."""

    read: Decision = Decision.ALLOW
    write: Decision = Decision.ALLOW
    destructive: Decision = Decision.ASK
    unknown: Decision = Decision.ASK
    """The MCP specification, too, assumes that a tool without a declared effect is destructive."""


class PermissionRules(Settings):
    """Which tools may be called, asked about or not called; the defaults are safe.

    Example:
        >>> rules = PermissionRules(tools=ToolRules(deny=("*payment*",)))
        >>> rules = read_rules(Path("rules.toml"))  # doctest: +SKIP

    The file holds the same as TOML:

        [tools]
        allow = ["get_*", "delete_draft"]
        deny = ["*payment*"]
        [effects]
        destructive = "deny"
    """

    tools: ToolRules = ToolRules()
    effects: EffectRules = EffectRules()

    def decide(self, tool: Tool) -> tuple[Decision, str]:
        """Return what the rules say about a tool, and which rule says it."""
        for decision in (Decision.DENY, Decision.ASK, Decision.ALLOW):
            for pattern in getattr(self.tools, decision):
                if _matches(tool, pattern):
                    return decision, f"the rules {decision} {pattern!r}"
        decision = getattr(self.effects, tool.effect)
        return decision, f"the rules {decision} tools of effect {tool.effect}"

    def check(self, tools: ToolSet) -> None:
        """Refuse a rule that names a tool which is not there; a pattern may match nothing.

        Raises:
            ConfigError: a rule names a tool that does not exist.
        """
        for decision in Decision:
            for name in getattr(self.tools, decision):
                is_pattern = bool(set("*?[") & set(name))
                if not is_pattern and not any(_matches(tool, name) for tool in tools.tools):
                    raise ConfigError(
                        f"permissions: tools.{decision}: no tool is called {name!r}; there are:"
                        f" {', '.join(tools.names())}"
                    )


def read_rules(path: Path) -> PermissionRules:
    """Read permission rules from a TOML file.

    Raises:
        ConfigError: the file cannot be read, or something in it is not a rule.
    """
    return load_config(PermissionRules, path)


def _matches(tool: Tool, pattern: str) -> bool:
    """Return whether a pattern matches the name of a tool, here or at its source."""
    return any(fnmatchcase(name, pattern) for name in {tool.name, tool.own_name or tool.name})


class AllowAll:
    """An approver that allows every call (`--yes`)."""

    def decide(self, tool: Tool) -> tuple[Decision, str]:  # noqa: ARG002 - the same for every tool
        """Return that calls of the tool run unasked."""
        return Decision.ALLOW, ""

    async def approve(self, tool: Tool, call: ToolCall) -> None:
        """Allow the call."""


class Ask:
    """An approver that follows rules and, for the decision `ask`, asks the user at the terminal.

    Without rules it asks before each call that is destructive or of unknown effect. The user can
    answer "always" once per tool. If there is no terminal, the answer is no.

    Questions of several sessions are shown one at a time. Input that was typed before a question is
    shown does not answer it.

    Args:
        rules: which calls to allow, ask about or deny.
        answers: where the user types; None for standard input.
        questions: where the questions are shown; None for standard error.
        pause: entered while a question is shown, for example to pause a live display.

    Example:
        >>> agent = Agent("openai:NAME", tools, approver=Ask())  # doctest: +SKIP
    """

    def __init__(
        self,
        rules: PermissionRules | None = None,
        *,
        answers: TextIO | None = None,
        questions: TextIO | None = None,
        pause: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._rules = rules or PermissionRules()
        self._answers = answers or sys.stdin or io.StringIO()  # if standard input is closed
        self._questions = questions
        self._pause = pause
        self._one_at_a_time = asyncio.Lock()
        self._always: set[tuple[str, str]] = set()

    def decide(self, tool: Tool) -> tuple[Decision, str]:
        """Return what happens to calls of a tool, and why."""
        decision, reason = self._rules.decide(tool)
        if decision is not Decision.ASK:
            return decision, reason
        if (tool.source, tool.name) in self._always:
            return Decision.ALLOW, "the user said always"
        return decision, "the user is asked first" if self._can_ask() else _NOBODY

    async def approve(self, tool: Tool, call: ToolCall) -> str | None:
        """Return None if the call may run; otherwise why not."""
        decision, reason = self.decide(tool)
        if decision is Decision.ASK:
            async with self._one_at_a_time:
                decision, reason = self.decide(tool)  # an answer to another call may be "always"
                if decision is Decision.ASK and self._can_ask():
                    with self._pause():
                        return await self._question(tool, call)
        return None if decision is Decision.ALLOW else reason

    def _can_ask(self) -> bool:
        return not self._answers.closed and self._answers.isatty()

    async def _question(self, tool: Tool, call: ToolCall) -> str | None:
        arguments = json.dumps(call.arguments)  # ASCII: no control character reaches the terminal
        cut = f" [{len(arguments)} characters in all]" if len(arguments) > _SHOWN_CHARS else ""
        origin = f" ({ascii(tool.source)[1:-1]})" if tool.source else ""
        self._show(
            f"\n{tool.effect}: {tool.name}{origin}\n  {arguments[:_SHOWN_CHARS]}{cut}\n"
            f"Run it? [y] once  [a] always {tool.name}  [n] no: "
        )
        while True:
            answer = (await self._line()).strip().lower()
            if answer in ("a", "always"):
                self._always.add((tool.source, tool.name))
            if answer in ("a", "always", "y", "yes"):
                return None
            if answer in ("", "n", "no"):
                return f"the user said no to this call of {tool.name}"
            self._show("Please answer y, a or n: ")

    def _show(self, text: str) -> None:
        where = self._questions or sys.stderr  # looked up now: a live display replaces it
        where.write(text)
        where.flush()

    async def _line(self) -> str:
        """Return the next line that the user types; "" at the end of the input."""
        import termios  # noqa: PLC0415 - not everywhere, and only for a terminal

        fd, loop = self._answers.fileno(), asyncio.get_running_loop()
        typed: asyncio.Future[str] = loop.create_future()

        def read() -> None:
            loop.remove_reader(fd)
            typed.set_result(os.read(fd, 4096).decode("utf-8", "replace"))

        termios.tcflush(fd, termios.TCIFLUSH)
        loop.add_reader(fd, read)
        try:
            return await typed
        finally:
            loop.remove_reader(fd)
