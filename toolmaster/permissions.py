"""Who may run what for real: the guards of a session.

A guard is asked before each call that would reach the real world: those of the execution, and in a
trial those that are not run on a copy. What a tool reads needs no permission anywhere unless a rule
says so.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TextIO

from pydantic import Field

from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, ToolCall

_SHOWN_CHARS = 600
"""Characters of the arguments that a question shows."""


class Decision(StrEnum):
    """What a rule says of a tool."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class AllowAll:
    """Permits every call: what `--yes` means."""

    async def permit(self, tool: Tool, call: ToolCall) -> None:
        """Permit it."""

    def denies(self, tool: Tool) -> None:
        """Deny nothing."""

    def outlook(self, tool: Tool) -> str:  # noqa: ARG002 - the same for every tool
        """Nothing stands in the way."""
        return ""


class Ask:
    """Asks the user at the terminal before a call that is destructive or of unknown effect.

    A tool that does not say what it does may destroy: the MCP specification, too, takes a tool
    without a hint as destructive. A question costs a key, once for each tool where the user wants
    it so; what is lost stays lost. Where nobody can be asked, the answer is no.

    One question stands at a time, however many sessions ask. What was typed before a question was
    shown does not answer it.

    Args:
        answers: where the user types; None for standard input.
        questions: where the questions are shown; None for standard error.
        pause: entered while a question stands, for example to hold a live display.
    """

    def __init__(
        self,
        answers: TextIO | None = None,
        questions: TextIO | None = None,
        pause: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._answers = answers or sys.stdin or io.StringIO()  # where standard input was closed
        self._questions = questions
        self._pause = pause
        self._one_at_a_time = asyncio.Lock()
        self._always: set[tuple[str, str]] = set()

    async def permit(self, tool: Tool, call: ToolCall) -> str | None:
        """None where the call may run; otherwise why not."""
        asks = tool.effect in (Effect.DESTRUCTIVE, Effect.UNKNOWN)
        return await self.ask(tool, call) if asks else None

    def denies(self, tool: Tool) -> None:
        """Deny nothing: the user decides."""

    def outlook(self, tool: Tool) -> str:
        """What stands between a call and its being run; "" for nothing."""
        asks = tool.effect in (Effect.DESTRUCTIVE, Effect.UNKNOWN)
        return self.asking(tool) if asks else ""

    def asking(self, tool: Tool) -> str:
        """What comes of asking about this tool; "" where the user has said always."""
        if (tool.source, tool.name) in self._always:
            return ""
        return "the user is asked first" if self._can_ask() else "nobody is there to permit it"

    async def ask(self, tool: Tool, call: ToolCall) -> str | None:
        """Put the question, whatever the tool's effect."""
        async with self._one_at_a_time:
            if (tool.source, tool.name) in self._always:
                return None
            if not self._can_ask():
                return (
                    f"not permitted: {tool.name} is of effect {tool.effect}, and nobody is there to"
                    " ask; the user may allow it beforehand with --yes or a policy file"
                )
            with self._pause():
                return await self._dialogue(tool, call)

    async def _dialogue(self, tool: Tool, call: ToolCall) -> str | None:
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
                return f"not permitted: the user said no to this call of {tool.name}"
            self._show("Please answer y, a or n: ")

    def _show(self, text: str) -> None:
        where = self._questions or sys.stderr  # as it is now: a live display puts its own there
        where.write(text)
        where.flush()

    def _can_ask(self) -> bool:
        return not self._answers.closed and self._answers.isatty()

    async def _line(self) -> str:
        """What the user types from now on; "" at the end of the input."""
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


class ToolRules(Settings):
    """By name, with `*` and `?` as in file names; what denies counts before what asks or allows.

    A tool is also known by its own name: a rule holds where two sources have a tool of that name.
    """

    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class EffectRules(Settings):
    """By effect, for tools that no name matches; the defaults are those of `Ask`."""

    read: Decision = Decision.ALLOW
    write: Decision = Decision.ALLOW
    destructive: Decision = Decision.ASK
    unknown: Decision = Decision.ASK


class Policy(Settings):
    """A policy file."""

    tools: ToolRules = Field(default_factory=ToolRules)
    effects: EffectRules = Field(default_factory=EffectRules)


class Rules:
    """Decides by a policy file, and asks where the file says so.

        [tools]
        allow = ["get_*", "delete_draft"]
        deny = ["*payment*"]
        [effects]
        destructive = "deny"

    A tool's name decides before its effect.

    Args:
        policy: what `read_policy` returned.
        ask: puts the questions.
    """

    def __init__(self, policy: Policy, ask: Ask | None = None) -> None:
        self._policy = policy
        self._ask = ask or Ask()

    async def permit(self, tool: Tool, call: ToolCall) -> str | None:
        """None where the call may run; otherwise why not."""
        decision, reason = self._decide(tool)
        if decision is Decision.ALLOW:
            return None
        if decision is Decision.DENY:
            return f"not permitted: {reason}"
        return await self._ask.ask(tool, call)

    def denies(self, tool: Tool) -> str | None:
        """Why the rules forbid every call of this tool, on a copy too; None where they do not."""
        decision, reason = self._decide(tool)
        return f"not permitted: {reason}" if decision is Decision.DENY else None

    def outlook(self, tool: Tool) -> str:
        """What stands between a call and its being run; "" for nothing."""
        decision, reason = self._decide(tool)
        if decision is Decision.ALLOW:
            return ""
        return reason if decision is Decision.DENY else self._ask.asking(tool)

    def _decide(self, tool: Tool) -> tuple[Decision, str]:
        rules = self._policy.tools
        for decision in (Decision.DENY, Decision.ASK, Decision.ALLOW):
            for pattern in getattr(rules, decision):
                if _matches(tool, pattern):
                    return decision, f"the policy denies {pattern!r}"
        decision = getattr(self._policy.effects, tool.effect)
        return decision, f"the policy denies tools of effect {tool.effect}"


def read_policy(path: Path) -> Policy:
    """Read a TOML policy file.

    Raises:
        ConfigError: it cannot be read, or says something that is no rule.
    """
    return load_config(Policy, path)


def check_policy(policy: Policy, tools: ToolSet) -> None:
    """Hold a policy against the tools it is for.

    Patterns may match nothing, so that one policy serves many tools; a name that does is misspelt.

    Raises:
        ConfigError: it names a tool that is not there.
    """
    for decision in Decision:
        for pattern in getattr(policy.tools, decision):
            if not set("*?[") & set(pattern) and not any(
                _matches(tool, pattern) for tool in tools.tools
            ):
                names = ", ".join(tools.names())
                raise ConfigError(
                    f"permissions: tools.{decision}: no tool is called {pattern!r}; there are:"
                    f" {names}"
                )


def _matches(tool: Tool, pattern: str) -> bool:
    """Whether a pattern means a tool, by its name here or where it comes from."""
    return fnmatchcase(tool.name, pattern) or fnmatchcase(tool.own_name or tool.name, pattern)
