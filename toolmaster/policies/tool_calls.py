"""Tool-call formats: translate between the messages of an endpoint and the turns of a session.

A turn is text with one block. With `TextCalls` the model writes such text. `TrainedCalls` shows a
trained model exactly what it saw in training. `NativeCalls` turns the endpoint's own tool calls
into such text: a message with several calls becomes as many turns, each answered under the id of
its call. Mistakes of the model (arguments that are not JSON, an unknown tool) are passed on as they
are: the session answers them like any other.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from toolmaster.policies.guide import GIVE_UP, native_guide, text_guide
from toolmaster.policies.replies import NativeCall, Reply, arguments_text
from toolmaster.policies.sent_tools import sent_tools
from toolmaster.protocols import NOT_EXECUTED, READ_MORE, WRITE_EXPERIENCE, find_form
from toolmaster.tags import CLOSING_TAGS, GIVE_UP_TAGS, TAGS, inert, with_texts
from toolmaster.types import Message, Role

BEGIN_EXECUTION = {
    "name": "begin_execution",
    "description": "End the trial; then calls are real.",
    "parameters": {
        "type": "object",
        "properties": {
            "lessons": {
                "type": "object",
                "description": "What you found out, by tool name.",
                "properties": {},
                "additionalProperties": {"type": "string"},
            }
        },
        "required": ["lessons"],
    },
}
"""The tool that ends the trial if tools are called natively."""
READ_ON = {
    "name": READ_MORE,
    "description": "Return the next part of the last result that was cut.",
    "parameters": {"type": "object", "properties": {}},
}
"""The tool that continues a long result; it is offered from the first result that was cut."""
_CUT = re.compile(r"\[cut: \d+ of \d+ characters shown\]$")
_NO_BLOCK = re.compile(r"write (exactly )?one .*? block.*", re.DOTALL)
"""What a session says of a turn without a block, in the words of the text format."""
_GOING_ON = re.compile(
    r"\b(let me|i'?ll|i will|i am going to|i'm going to|first,? i)\b", re.IGNORECASE
)
"""Words of a message that says what comes next, and is no answer."""
_GAVE_UP = re.compile(r"\W*gave[ _]up\b\W*", re.IGNORECASE)


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
        system = self.messages[0]["content"]
        trial_calls, rest = find_form(system)
        guide = "" if rest == system else text_guide(trial_calls)
        shown = (with_texts(tool["function"], inert) for tool in tools)
        lines = [json.dumps(function, ensure_ascii=False) for function in shown]
        parts = [guide, rest, "\n".join(["<tools>", *lines, "</tools>"])]
        self.messages[0]["content"] = "\n".join(filter(None, parts))

    def take(self, reply: Reply) -> list[str]:
        """Add the reply to the conversation, and return it as turns for the session."""
        text = until_closed(reply.content)
        self.messages.append({**reply.given, "role": "assistant", "content": text})
        return [self._turn(text if "<think>" in text else _think(reply.reasoning) + text)]

    def _turn(self, text: str) -> str:
        return _decoded(text)

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

    def _turn(self, text: str) -> str:
        return text  # as the model in this process is read

    def observe(self, observation: str, role: Role) -> None:
        """Add an observation, in its own role."""
        self.messages.append({"role": role, "content": inert(observation)})


class NativeCalls:
    """The endpoint's own tool calls; a message without a call is the answer.

    In the trial a message that says what comes next is none. Before any tool has returned something
    the model is told to go on; said twice, it has given up.
    """

    def __init__(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        self.messages: list[dict[str, Any]] = [m.model_dump() for m in prompt]
        self.tools, self._own_names = sent_tools(tools)
        trial_calls, rest = find_form(self.messages[0]["content"])
        self._begin = ""
        if trial_calls is not None:
            self._begin = str(BEGIN_EXECUTION["name"])
            while self._begin in {tool["function"]["name"] for tool in self.tools}:
                self._begin += "_"
            begin = {**BEGIN_EXECUTION, "name": self._begin}
            self.tools.append({"type": "function", "function": begin})
        guide = native_guide(trial_calls, self._begin)
        self.messages[0]["content"] = f"{guide}\n{rest}" if rest else guide
        self.extra: dict[str, Any] = {}
        self._trial, self._found, self._idle = trial_calls is not None, False, False
        self._open: deque[str] = deque()
        """Ids of the calls that the next observations answer."""

    def take(self, reply: Reply) -> list[str]:
        """Add the reply to the conversation, and return it as turns for the session."""
        ids: set[str] = set()
        for number, call in enumerate(reply.calls):
            if not call.id or call.id in ids:  # nine characters, for some take no other number
                call.id = f"call{len(self.messages):03}{number:02}"
            ids.add(call.id)
        self._open = deque(call.id for call in reply.calls)
        self.messages.append({"content": reply.content, **reply.given, "role": "assistant"})
        if not reply.calls:
            return self._without_call(reply)
        self._idle = False
        calls = [_echo(call) for call in reply.calls]
        self.messages[-1].update(content=reply.given.get("content"), tool_calls=calls)
        thought = _think(reply.reasoning, reply.content) or "<think></think>"
        first, *rest = map(self._block, reply.calls)
        return [thought + first, *(f"<think></think>{block}" for block in rest)]

    def observe(self, observation: str, role: Role) -> None:  # noqa: ARG002 - the id tells it
        """Add an observation under the id of its call, in words of native calls."""
        if observation.startswith("error: "):
            observation = self._in_native_words(observation)
        elif not observation.startswith(NOT_EXECUTED):
            self._found = True
        names = {tool["function"]["name"] for tool in self.tools}
        if _CUT.search(observation) and READ_MORE not in names:
            self.tools = [*self.tools, {"type": "function", "function": READ_ON}]
        message = {"role": "user", "content": observation}
        if self._open:
            message |= {"role": "tool", "tool_call_id": self._open.popleft()}
        self.messages.append(message)

    def _in_native_words(self, error: str) -> str:
        """Return an error of the session without the blocks of the text format."""
        end = f"call {self._begin}" if self._trial else "answer"
        go_on = f"no tool was called; call one, or {end}. If it cannot be done: {GIVE_UP}"
        error = _NO_BLOCK.sub(go_on, error)
        return error.replace(WRITE_EXPERIENCE, f"call {self._begin} with what you learned")

    def _without_call(self, reply: Reply) -> list[str]:
        """Return the turns of a message without a call."""
        turn, content = _final(reply), reply.content
        if found := _GAVE_UP.match(content):
            return [f"<give_up>{untagged(content[found.end() :])}</give_up>"]
        if not self._trial or not turn.endswith("</answer>"):
            return [turn]
        if not _GOING_ON.search(content):
            if self._found:
                return [turn]
            if self._idle:
                return [f"<give_up>{untagged(content)}</give_up>"]
        self._idle = True
        return [_think(reply.reasoning, content)]

    def _block(self, call: NativeCall) -> str:
        """Return a call as the block of a turn."""
        names, arguments = self._own_names, _object(call.arguments)
        name = names.get(call.name, call.name)
        if self._begin and name == self._begin and arguments is not None:
            self._trial = False
            learned = re.sub(r"[\w-]+", lambda w: names.get(w[0], w[0]), _lessons(arguments))
            return f"<experience>{untagged(learned)}</experience>"
        return _call_block(f'{{"name": {json.dumps(name)}, "arguments": {call.arguments}}}')


def _final(reply: Reply) -> str:
    """Return the turn of a message without a native call: an answer, or blocks written as text."""
    content, thought = reply.content, _think(reply.reasoning)
    if any(tag in content for tag in CLOSING_TAGS):
        return ("" if "<think>" in content else thought) + _decoded(until_closed(content))
    before, found, after = content.rpartition("</think>")
    if found:
        thought, content = _think(before.replace("<think>", "")) or "<think></think>", after
    if not content.strip():
        return thought
    closing = "" if reply.cut else "</answer>"
    return f"{thought}<answer>{untagged(content)}{closing}"


def _call_block(call: str) -> str:
    """Return the block of a call that is given as JSON, or as what a model wrote for it."""
    escaped = call.replace("<", "\\u003c")  # the same JSON without a tag
    return f"<tool_call>{escaped}</tool_call>"


def _decoded(turn: str) -> str:
    """Return a turn with the arguments of its call as an object, which some write as a text."""
    before, _, rest = turn.partition("<tool_call>")
    written, closed, after = rest.partition("</tool_call>")
    call = _object(written)
    if not closed or call is None or isinstance(call.get("arguments", {}), dict):
        return turn
    arguments = _object(arguments_text(call["arguments"]))
    if arguments is None:
        return turn
    call = {**call, "arguments": arguments}
    return before + _call_block(json.dumps(call, ensure_ascii=False)) + after


def _lessons(arguments: dict[str, Any]) -> str:
    """Return what a model learned, a line per tool, from the arguments of `begin_execution`."""
    learned = arguments.get("lessons", arguments.get("experience", arguments))

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    if not isinstance(learned, dict):
        return text(learned)
    return "\n".join(f"{tool}: {' '.join(text(one).split())}" for tool, one in learned.items())


def _echo(call: NativeCall) -> dict[str, Any]:
    """Return a call for the next request, with all fields that the endpoint gave it.

    Arguments that are no JSON object become one.
    """
    arguments = call.arguments
    if _object(arguments) is None:
        arguments = json.dumps({"not_a_json_object": arguments})
    given = {key: value for key, value in call.given.items() if key != "index"}  # of a stream
    function = given.get("function")
    if not isinstance(function, dict):
        given, function = {}, {}
    function = {**function, "name": call.name or "unnamed", "arguments": arguments}
    return {"type": "function", **given, "id": call.id, "function": function}


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
    for tag in (*TAGS, *GIVE_UP_TAGS):
        text = text.replace(tag, f"[{tag[1:-1]}]")
    return text.strip()


def until_closed(text: str) -> str:
    """Return the text up to the first closing tag; a model may imagine what comes next."""
    start = max(text.find("</think>"), 0)
    closing = (*CLOSING_TAGS, GIVE_UP_TAGS[1])
    ends = [text.find(tag, start) + len(tag) for tag in closing if tag in text[start:]]
    return text[: min(ends)] if ends else text
