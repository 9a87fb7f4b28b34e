"""Tool-call formats: translate between the messages of an endpoint and the turns of a session.

A turn is text with one block. With `TextCalls` the model writes such text. `TrainedCalls` shows a
trained model exactly what it saw in training. `NativeCalls` turns the endpoint's own tool calls
into such text. Mistakes of the model (several calls, arguments that are not JSON, an unknown tool)
are passed on as they are: the session answers them like any other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolmaster.policies.guide import native_guide, text_guide
from toolmaster.policies.replies import NativeCall, Reply
from toolmaster.protocols import WRITE_EXPERIENCE, find_form
from toolmaster.tags import CLOSING_TAGS, inert, with_texts
from toolmaster.types import Message, Role

BEGIN_EXECUTION = {
    "name": "begin_execution",
    "description": "End the trial and begin the execution, where calls are real.",
    "parameters": {
        "type": "object",
        "properties": {
            "experience": {
                "type": "string",
                "description": "What the trial taught, a line per tool.",
            }
        },
        "required": ["experience"],
    },
}
"""The tool that ends the trial if tools are called natively."""


class TextCalls:
    """Calls written as text; tools are listed in the system message.

    A guide replaces the protocol's short instruction in the system message. A prompt without that
    instruction is left as it is.
    """

    tools: Sequence[dict[str, Any]] = ()
    """Tools sent for native calls."""
    extra: dict[str, Any] = {}  # noqa: RUF012 - never changed
    """Further fields of each request."""

    def __init__(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        self.messages: list[dict[str, Any]] = [m.model_dump() for m in prompt]
        trial_calls, rest = find_form(self.messages[0]["content"])
        lines = [
            json.dumps(with_texts(tool["function"], inert), ensure_ascii=False) for tool in tools
        ]
        listing = "<tools>\n" + "\n".join(lines) + "\n</tools>"
        explained = rest == self.messages[0]["content"]
        parts = ["" if explained else text_guide(trial_calls), rest, listing]
        self.messages[0]["content"] = "\n".join(part for part in parts if part)

    def take(self, reply: Reply) -> str:
        """Add the reply to the conversation, and return it as a turn for the session."""
        text = until_closed(reply.content)
        self.messages.append({"role": "assistant", "content": text, **reply.reasoning})
        return text if "<think>" in text else _think(*reply.reasoning.values()) + text

    def observe(self, observation: str, role: Role) -> None:
        """Add an observation, with its tags and control tokens broken."""
        observation = inert(observation)
        if role == "tool":
            observation = f"<tool_response>{observation}</tool_response>"
        self.messages.append({"role": "user", "content": observation})


class TrainedCalls(TextCalls):
    """The conversation as in training: the server's chat template shows tools and roles."""

    extra = {"tool_choice": "none"}  # noqa: RUF012 - shows the tools, and leaves the text alone

    def __init__(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        self.messages = [m.model_dump() for m in prompt]
        self.tools = with_texts(list(tools), inert)

    def observe(self, observation: str, role: Role) -> None:
        """Add an observation, in its own role."""
        self.messages.append({"role": role, "content": inert(observation)})


class NativeCalls:
    """The endpoint's own tool calls; a message without a call is the answer."""

    def __init__(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        self.messages: list[dict[str, Any]] = [m.model_dump() for m in prompt]
        self.tools = list(tools)
        trial_calls, rest = find_form(self.messages[0]["content"])
        self._begin = ""
        if trial_calls is not None:
            self._begin = str(BEGIN_EXECUTION["name"])
            while self._begin in {tool["function"]["name"] for tool in tools}:
                self._begin += "_"
            begin = {**BEGIN_EXECUTION, "name": self._begin}
            self.tools.append({"type": "function", "function": begin})
        guide = native_guide(trial_calls, self._begin)
        self.messages[0]["content"] = f"{guide}\n{rest}" if rest else guide
        self.extra = {"parallel_tool_calls": False} if self.tools else {}
        self._open: list[str] = []
        """Ids of the calls that the next observation answers."""

    def take(self, reply: Reply) -> str:
        """Add the reply to the conversation, and return it as a turn for the session."""
        for number, call in enumerate(reply.calls):
            call.id = call.id or f"call_{len(self.messages)}_{number}"
        self._open = [call.id for call in reply.calls]
        self.messages.append({"role": "assistant", "content": reply.content, **reply.reasoning})
        if not reply.calls:
            return _final(reply)
        calls = [_echo(call) for call in reply.calls]
        self.messages[-1].update(content=reply.content or None, tool_calls=calls)
        thought = _think(*reply.reasoning.values(), reply.content) or "<think></think>"
        return thought + "".join(map(self._block, reply.calls))

    def observe(self, observation: str, role: Role) -> None:
        """Add an observation; every open call gets it. Errors name the call that ends the trial."""
        if self._begin and observation.startswith("error: "):
            told = f"call {self._begin} with what you learned"
            observation = observation.replace(WRITE_EXPERIENCE, told)
        if not self._open or role != "tool":
            self.messages.append({"role": "user", "content": observation})
        for call_id in self._open:
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": observation})
        self._open = []

    def _block(self, call: NativeCall) -> str:
        """Return a call as the block of a turn."""
        name, written = call.name, call.arguments.strip() or "{}"
        arguments = _object(written)
        if self._begin and name == self._begin and arguments is not None:
            learned = arguments.get("experience", "")
            if not isinstance(learned, str):
                learned = json.dumps(learned, ensure_ascii=False)
            return f"<experience>{untagged(learned)}</experience>"
        inside = f'{{"name": {json.dumps(name)}, "arguments": {written}}}'
        escaped = inside.replace("<", "\\u003c")  # the same JSON without a tag
        return f"<tool_call>{escaped}</tool_call>"


def _final(reply: Reply) -> str:
    """Return the turn of a message without a native call: an answer, or blocks written as text."""
    content, thought = reply.content, _think(*reply.reasoning.values())
    if any(tag in content for tag in CLOSING_TAGS):
        return ("" if "<think>" in content else thought) + until_closed(content)
    before, found, after = content.rpartition("</think>")
    if found:
        thought, content = _think(before.replace("<think>", "")) or "<think></think>", after
    if not content.strip():
        return thought
    closing = "" if reply.finish_reason == "length" else "</answer>"  # cut off: the session says so
    return f"{thought}<answer>{untagged(content)}{closing}"


def _echo(call: NativeCall) -> dict[str, Any]:
    """Return a call for the next request; arguments that are no JSON object become one."""
    arguments = call.arguments.strip() or "{}"
    if _object(arguments) is None:
        arguments = json.dumps({"not_a_json_object": arguments})
    function = {"name": call.name or "unnamed", "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _object(arguments: str) -> dict[str, Any] | None:
    """Return the arguments of a call, or None if they are not a JSON object."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _think(*parts: str) -> str:
    """Return the block of a thought, or "" without one."""
    thought = untagged("\n".join(part for part in parts if part))
    return f"<think>{thought}</think>" if thought else ""


def untagged(text: str) -> str:
    """Return prose with the tags of the protocol turned into brackets."""
    for tag in ("think", "tool_call", "experience", "answer"):
        text = text.replace(f"<{tag}>", f"[{tag}]").replace(f"</{tag}>", f"[/{tag}]")
    return text.strip()


def until_closed(text: str) -> str:
    """Return the text up to the first closing tag; a model may imagine what comes next."""
    start = max(text.find("</think>"), 0)
    ends = [text.find(tag, start) + len(tag) for tag in CLOSING_TAGS if tag in text[start:]]
    return text[: min(ends)] if ends else text
