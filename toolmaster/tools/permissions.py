"""Approvers decide which calls a session may run for real.

A session asks its approver before each call that reaches the real world: every call in execution,
and in a trial every call that does not run on a copy. By default, calls that only read run without
a question.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TextIO

from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError, InputError
from toolmaster.runs import append_line, read_models
from toolmaster.system.terminal import held_output, visible
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Decision, Effect, Phase, Record, ToolCall

_NOBODY = "nobody is there to permit it (the user may beforehand, with --yes or a file of rules)"
_SHOWN_CHARS = 600
"""The most characters of a text that a question shows at first."""
_NO = re.compile(r"no?\b[\s,.:;-]*(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a call is made for."""

    task: str
    """The task, as the user asked it."""
    phase: Phase
    reason: str
    """What the model wrote before the call; "" for nothing."""


OCCASION: ContextVar[Occasion | None] = ContextVar("occasion", default=None)
"""What the call is made for that is being approved; set by the session."""


class Approval(Record):
    """A line of a file of approvals: a tool that always runs unasked in one folder."""

    folder: str
    tool: str
    source: str
    fingerprint: str


class KnownEffect(Record):
    """A line of a file of effects: what the user knows of a tool, in one folder."""

    folder: str
    tool: str
    fingerprint: str
    """That of the tool as its source declares it."""
    effect: Effect


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

    `SOURCE:NAME` names a tool of one source: an MCP server, a file or an address. `deny` and `ask`
    also match the name that a tool has at its source (see `Tool.own_name`); so does `allow` where
    it names the source, because otherwise any other server could take that name.
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
        allow = ["get_*", "mail:delete_draft"]
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
                if _matches(tool, pattern, decision):
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
                if is_pattern or any(_matches(tool, name, decision) for tool in tools.tools):
                    continue
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


def _matches(tool: Tool, pattern: str, decision: Decision) -> bool:
    """Return whether the pattern of a rule matches a tool."""
    source, colon, name = pattern.rpartition(":")
    names = {tool.name, tool.own_name or tool.name}
    if colon:
        sources = {tool.source, tool.source.partition(" (")[0]}
        if not any(fnmatchcase(one, source) for one in sources):
            return False
    elif decision is Decision.ALLOW:
        names = {tool.name}
    return any(fnmatchcase(one, name) for one in names)


def fingerprint(tool: Tool) -> str:
    """Return a text that changes with everything that a user is told of a tool."""
    told = [tool.source, tool.own_name or tool.name, tool.description, tool.parameters, tool.effect]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


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
    answer "always" for a tool, which holds until anything about the tool changes: its source,
    description, schema or effect. What follows a "no" is told to the model. If there is no
    terminal, the answer is no.

    Questions of several sessions are shown one at a time, and nothing else is printed meanwhile.
    Input that was typed before a question is shown does not answer it.

    Args:
        rules: which calls to allow, ask about or deny.
        answers: where the user types; None for standard input.
        questions: where the questions are shown; None for standard error.
        pause: entered while a question is shown, for example to pause a live display.
        approvals: a JSON-lines file of tools that always run in a folder; the user can add to it
            for the current folder. None offers no such answer.

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
        approvals: Path | None = None,
    ) -> None:
        self._rules = rules or PermissionRules()
        self._answers = answers or sys.stdin or io.StringIO()  # if standard input is closed
        self._questions = questions
        self._pause = pause
        self._one_at_a_time, self._loop = asyncio.Lock(), _running_loop()
        self._approvals = approvals
        self._always = set() if approvals is None else kept_approvals(approvals)

    def decide(self, tool: Tool) -> tuple[Decision, str]:
        """Return what happens to calls of a tool, and why."""
        decision, reason = self._rules.decide(tool)
        if decision is not Decision.ASK:
            return decision, reason
        if fingerprint(tool) in self._always:
            return Decision.ALLOW, "the user said always"
        return decision, "the user is asked first" if self._can_ask() else _NOBODY

    async def approve(self, tool: Tool, call: ToolCall) -> str | None:
        """Return None if the call may run; otherwise why not."""
        decision, reason = self.decide(tool)
        if decision is Decision.ASK:
            if self._loop is not _running_loop():  # a lock belongs to one event loop
                self._one_at_a_time, self._loop = asyncio.Lock(), _running_loop()
            async with self._one_at_a_time:
                decision, reason = self.decide(tool)  # an answer to another call may be "always"
                if decision is Decision.ASK and self._can_ask():
                    with self._pause():
                        where = self._questions or sys.stderr  # now: a live display replaces it
                        with held_output():
                            return await self._question(tool, call, where)
        return None if decision is Decision.ALLOW else reason

    def _can_ask(self) -> bool:
        return not self._answers.closed and self._answers.isatty()

    async def _question(self, tool: Tool, call: ToolCall, where: TextIO) -> str | None:
        arguments = json.dumps(call.arguments)  # ASCII: no control character reaches the terminal
        origin = f" ({ascii(tool.source)[1:-1]})" if tool.source else ""
        kept = f"  [p] always {tool.name} in this folder" if self._approvals else ""
        more = "  [s] show all of it" if len(arguments) > _SHOWN_CHARS else ""
        choices = f"[y] once  [a] always {tool.name}{kept}{more}  [n] no: "
        _show(
            where,
            f"\n{_occasion()}{tool.effect}: {tool.name}{origin}\n  {_beginning(arguments)}\n"
            f'Run it? ("no, because ..." is told to the model) {choices}',
        )
        while True:
            typed = (await self._line()).strip()
            answer = typed.lower()
            if not typed or (no := _NO.fullmatch(typed)):
                because = f": {visible(no[1])}" if typed and no and no[1] else ""
                return f"the user said no to this call of {tool.name}{because}"
            if answer in ("a", "always", "p") and (answer != "p" or self._approvals):
                self._always.add(fingerprint(tool))
                if answer == "p" and self._approvals is not None:
                    keep_approval(self._approvals, tool)
                return None
            if answer in ("y", "yes"):
                return None
            if answer in ("s", "show"):
                _show(where, f"  {arguments}\n{choices}")
            else:
                _show(where, "Please answer y, a or n: ")

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


def _show(where: TextIO, text: str) -> None:
    where.write(text)
    where.flush()


def _occasion() -> str:
    """Return what the call is made for, as lines of a question."""
    occasion = OCCASION.get()
    if occasion is None:
        return ""
    shown = {"task": occasion.task, "phase": occasion.phase, "reason": occasion.reason or "none"}
    lines = (f"{name}: {_beginning(' '.join(text.split()))}" for name, text in shown.items())
    return "".join(f"{visible(line)}\n" for line in lines)


def _beginning(text: str) -> str:
    cut = f" [{len(text)} characters in all]" if len(text) > _SHOWN_CHARS else ""
    return text[:_SHOWN_CHARS] + cut


def kept_approvals(file: Path) -> set[str]:
    """Return the fingerprints of the tools that always run unasked in the current folder."""
    here = str(Path.cwd())
    return {kept.fingerprint for kept in read_models(file, Approval) if kept.folder == here}


def keep_approval(file: Path, tool: Tool) -> None:
    """Add a tool to the approvals of the current folder, in a file that only its owner reads.

    Raises:
        InputError: the file cannot be written.
    """
    folder, known = str(Path.cwd()), fingerprint(tool)
    _append(file, Approval(folder=folder, tool=tool.name, source=tool.source, fingerprint=known))


def keep_effect(file: Path, tool: Tool, effect: Effect) -> None:
    """Keep what the user knows of the effect of a tool, for the current folder.

    Args:
        file: a JSON-lines file that only its owner reads.
        tool: the tool as its source declares it.
        effect: its effect.

    Raises:
        InputError: the file cannot be written.
    """
    known = fingerprint(tool)
    _append(
        file,
        KnownEffect(folder=str(Path.cwd()), tool=tool.name, fingerprint=known, effect=effect),
    )


def with_kept_effects(tools: ToolSet, file: Path) -> ToolSet:
    """Return the tools with the effects that were kept for the current folder.

    An effect holds until anything about its tool changes.
    """
    here = str(Path.cwd())
    kept = {k.fingerprint: k.effect for k in read_models(file, KnownEffect) if k.folder == here}
    known = [replace(t, effect=kept.get(fingerprint(t), t.effect)) for t in tools.tools]
    return replace(tools, tools=tuple(known))


def _append(file: Path, record: Record) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None
    append_line(file, record.model_dump())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
