"""How the protocol is spoken with an endpoint: between its messages and the session's turns.

A session takes turns of text with one block each. `Text` has an endpoint write them; `Trained`
shows a trained model exactly what it saw in training; `Native` turns the endpoint's own tool calls
into such turns. What an endpoint gets wrong (several calls, arguments that are no JSON, an unknown
tool) is handed to the session as it is, which answers it like any other mistake.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolmaster.policies.guide import native_guide, text_guide
from toolmaster.policies.replies import CallPart, Reply
from toolmaster.protocols import find_form
from toolmaster.tags import CLOSING_TAGS, inert, with_texts
from toolmaster.types import Message, Role

BEGIN_EXECUTION = "begin_execution"
"""The reserved tool that ends the trial, where tools are called natively."""


class Text:
    """Blocks in the text; tools are listed in the system message.

    A guide takes the place of the protocol's short form; a prompt without it explains itself.
    """

    tools: Sequence[dict[str, Any]] = ()
    """Sent natively."""
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
        """Add the reply to the conversation; returns it as a turn for the session."""
        text = until_closed(reply.content) or reply.refusal
        self.messages.append(_assistant(reply, text))
        if reply.reasoning and "<think>" not in text:
            return f"<think>{untagged(reply.reasoning)}</think>{text}"
        return text

    def observe(self, observation: str, role: Role) -> None:
        """Add what the session answered; no tag or control token in it is real."""
        observation = inert(observation)
        if role == "tool":
            observation = f"<tool_response>{observation}</tool_response>"
        self.messages.append({"role": "user", "content": observation})


class Trained(Text):
    """The conversation as in training: short instruction, tools and roles left to the template."""

    extra = {"tool_choice": "none"}  # noqa: RUF012 - shown to the model, and its text left alone

    def __init__(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        self.messages = [m.model_dump() for m in prompt]
        self.tools = with_texts(list(tools), inert)

    def observe(self, observation: str, role: Role) -> None:
        """Add what the session answered, in the role of the one who speaks."""
        self.messages.append({"role": role, "content": inert(observation)})


class Native:
    """The endpoint's own tool calls; a message without one is the answer."""

    def __init__(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        self.messages: list[dict[str, Any]] = [m.model_dump() for m in prompt]
        self.tools = list(tools)
        trial_calls, rest = find_form(self.messages[0]["content"])
        self._begin = ""
        if trial_calls is not None:
            self._begin = _free_name({tool["function"]["name"] for tool in tools})
            self.tools.append(_begin_tool(self._begin))
        guide = native_guide(trial_calls, self._begin)
        self.messages[0]["content"] = f"{guide}\n{rest}" if rest else guide
        self.extra = {"parallel_tool_calls": False} if self.tools else {}
        self._open: list[str] = []
        """Ids of the calls that the next observation answers."""

    def take(self, reply: Reply) -> str:
        """Add the reply to the conversation; returns it as a turn for the session."""
        calls = [call for call in reply.calls if call.name or call.arguments]
        for number, call in enumerate(calls):
            call.id = call.id or f"call_{len(self.messages)}_{number}"
        self._open = [call.id for call in calls]
        content = reply.content or reply.refusal
        message = _assistant(reply, content)
        if calls:
            message["content"] = content or None
            message["tool_calls"] = [_echo(call) for call in calls]
        self.messages.append(message)
        if not calls:
            return _final(reply, content)
        thought = "\n".join(part for part in (reply.reasoning, content) if part)
        return f"<think>{untagged(thought)}</think>" + "".join(map(self._block, calls))

    def observe(self, observation: str, role: Role) -> None:
        """Add what the session answered; every open call gets it."""
        if not self._open or role != "tool":
            self.messages.append({"role": "user", "content": observation})
        for call_id in self._open:
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": observation})
        self._open = []

    def _block(self, call: CallPart) -> str:
        arguments = _object(call.arguments)
        if self._begin and call.name == self._begin and arguments is not None:
            told = arguments.get("experience", "")
            told = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
            return f"<experience>{untagged(told)}</experience>"
        written = call.arguments.strip() or "{}"
        inside = f'{{"name": {json.dumps(call.name)}, "arguments": {written}}}'
        return f"<tool_call>{_escaped(inside)}</tool_call>"


def _final(reply: Reply, content: str) -> str:
    """The turn of a message without a call: an answer, or blocks that were written all the same."""
    thought = f"<think>{untagged(reply.reasoning)}</think>" if reply.reasoning else ""
    if any(tag in content for tag in CLOSING_TAGS):
        return (
            thought + until_closed(content) if "<think>" not in content else until_closed(content)
        )
    before, found, after = content.rpartition("</think>")
    if found:
        thought, content = f"<think>{untagged(before.replace('<think>', ''))}</think>", after
    if not content.strip():
        return thought
    closing = "" if reply.finish_reason == "length" else "</answer>"  # cut: the session says so
    return f"{thought}<answer>{untagged(content)}{closing}"


def _assistant(reply: Reply, content: str) -> dict[str, Any]:
    """The reply as a message; its reasoning goes back as it came, which some endpoints require."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reply.reasoning:
        message[reply.reasoning_field] = reply.reasoning
    return message


def _echo(call: CallPart) -> dict[str, Any]:
    """The call in the conversation; endpoints refuse to read arguments that are no object."""
    arguments = call.arguments
    if _object(arguments) is None:
        arguments = json.dumps({"not_a_json_object": arguments})
    function = {"name": call.name or "unnamed", "arguments": arguments.strip() or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _object(arguments: str) -> dict[str, Any] | None:
    """The arguments as an object; none written are an empty one."""
    try:
        value = json.loads(arguments.strip() or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _begin_tool(name: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
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
        },
    }


def _free_name(taken: set[str]) -> str:
    """A name for the reserved tool that none of the user's tools has."""
    name = BEGIN_EXECUTION
    while name in taken:
        name += "_"
    return name


def _escaped(inside: str) -> str:
    """JSON in which no tag of ours can be read; in its strings it means the same."""
    return inside.replace("<", "\\u003c")


def untagged(text: str) -> str:
    """Prose in which no tag of ours can be read."""
    for tag in ("think", "tool_call", "experience", "answer"):
        text = text.replace(f"<{tag}>", f"[{tag}]").replace(f"</{tag}>", f"[/{tag}]")
    return text.strip()


def until_closed(text: str) -> str:
    """The text up to the first closing tag of a block; what a model imagines next is dropped."""
    start = max(text.find("</think>"), 0)
    ends = [text.find(tag, start) + len(tag) for tag in CLOSING_TAGS if tag in text[start:]]
    return text[: min(ends)] if ends else text
