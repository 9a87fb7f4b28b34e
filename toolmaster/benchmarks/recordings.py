"""Recording real responses and giving them back, keyed by the call.

The file is JSON lines, one response a line: the tool, its arguments, the result, whether it was a
refusal, and its source: "live" or "simulated by MODEL". A call that is not in it is a miss: it is
answered with `MISS`, listed in a file of its own, and counted; nothing is invented. A key holds its
first response, so a service whose answers change with what was called before is only as faithful
as the calls are in their first order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolmaster.benchmarks.responses import Answerer, History, canonical
from toolmaster.errors import InputError, first_problem
from toolmaster.runs import append_line, read_lines
from toolmaster.tools import Tool, ToolRefusal
from toolmaster.types import Record

MISS = "no response to this call was recorded"
"""The observation of a call that is not among the recordings."""


class Recording(Record):
    """One response."""

    tool: str
    arguments: dict[str, Any]
    result: Any = None
    """Of a refusal, its text."""
    refused: bool = False
    source: str = "live"


class Recordings:
    """Responses by call.

    Args:
        file: where they are kept; need not exist to record.
        misses: where calls without a recording are listed, one a line; those there count.

    Raises:
        InputError: a line that is no recording.
    """

    def __init__(self, file: Path, misses: Path) -> None:
        self.file, self.misses = file, misses
        self.missed = len(read_lines(misses))
        self._held: dict[tuple[str, str], Recording] = {}
        for number, line in enumerate(read_lines(file), 1):
            try:
                self.hold(Recording.model_validate(line))
            except ValidationError as error:
                where, problem = first_problem(error)
                raise InputError(f"{file}, line {number}: {where}: {problem}") from None

    def __len__(self) -> int:
        return len(self._held)

    def find(self, tool: str, arguments: dict[str, Any]) -> Recording | None:
        """The response to a call, if one was recorded."""
        return self._held.get((tool, canonical(arguments)))

    def keep(self, recording: Recording) -> None:
        """Append a response, unless the call has one.

        Raises:
            InputError: the file cannot be written.
        """
        if self.hold(recording):
            append_line(self.file, recording.model_dump(mode="json", exclude_defaults=True))

    def hold(self, recording: Recording) -> bool:
        """Take a response without writing it down; whether the call had none so far."""
        key = (recording.tool, canonical(recording.arguments))
        return self._held.setdefault(key, recording) is recording

    def recorder(self, source: Answerer, name: str = "live") -> Answerer:
        """Answer from the source, and keep what it says."""

        async def answer(tool: Tool, arguments: dict[str, Any], history: History) -> Any:
            try:
                result = await source(tool, arguments, history)
            except ToolRefusal as refusal:
                self.keep(
                    Recording(
                        tool=tool.name,
                        arguments=arguments,
                        result=str(refusal),
                        refused=True,
                        source=name,
                    )
                )
                raise
            self.keep(Recording(tool=tool.name, arguments=arguments, result=result, source=name))
            return result

        return answer

    def player(self, otherwise: Answerer | None = None) -> Answerer:
        """Answer from the recordings, and a miss from `otherwise`; None reports it."""

        async def answer(tool: Tool, arguments: dict[str, Any], history: History) -> Any:
            held = self.find(tool.name, arguments)
            if held is None:
                if otherwise is not None:
                    return await otherwise(tool, arguments, history)
                self.missed += 1
                append_line(self.misses, {"tool": tool.name, "arguments": arguments})
                raise ToolRefusal(MISS)
            if held.refused:
                raise ToolRefusal(str(held.result))
            return held.result

        return answer
