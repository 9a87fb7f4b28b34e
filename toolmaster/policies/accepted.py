"""What an endpoint accepts of a request, learned from its refusals.

Vendors word a refusal in every way, so what counts is which part of the request it names, not how:
a field, a message's field, a role, a tool. That part is left out or changed from then on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""Names of the field that limits the tokens of a reply; the first is tried first."""
NO_CONTENT = "(no text)"
"""The content of a message without any, for endpoints that need some."""
LEAST_TOKENS = 16
"""A smaller number in a refusal is no limit of tokens."""
LEAST_ROOM = 256
"""A conversation with less room for the reply is too long."""
_OPTIONAL = ("parallel_tool_calls", "tool_choice", "temperature", "stream")
"""Fields of ours that a request can do without."""
_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_CALL = frozenset({"id", "type", "function"})
_FUNCTION = frozenset({"name", "arguments"})
_INSIDE = ("tool_calls", "function")
"""Fields whose own fields can be refused."""

_UNKNOWN = re.compile(
    r"support|unexpected|unknown|unrecogni[sz]ed|\bextra\b|additional|invalid|forbidden|deprecated"
    r"|not (permitted|allowed|valid|available|accepted|enabled)|removed|no longer|instead|no such"
    r"|cannot find|satisfied"
)
_MISSING = re.compile(
    r"\bmissing|\brequire[sd]?\b|must (be (passed|sent|included|provided|returned|preserved)|"
    r"include|contain|start with|have)|should be (passed|sent|included|provided|returned)"
)
_OUT_OF_RANGE = re.compile(
    r"at most|too (large|high)|(less|lower|greater|larger|higher) than|[<>]|exceed|range|between"
)
_AT_MOST = re.compile(
    rf"{_OUT_OF_RANGE.pattern}|too (big|long|many)|(more|bigger) than|maximum|up to|bounds|within"
    r"|allowed|\[\d+, ?\d+\]|limit"
)
_OUTPUT = re.compile(r"\b(completion|output|new|generat\w+)\b.{0,20}tokens?|maximum tokens")
_LISTED = re.compile(
    r"expected one of|must be one of|(support|valid|allow|accept|permitt|availabl)e?(ed)? "
    r"(parameters|fields|arguments|options|keys|values)( are)?:"
)
"""What stands before a list of everything that is allowed, in which nothing is refused."""
_CONTEXT = re.compile(
    r"context[ _-]?(length|size|window|limit)|maximum (model|allowed) length|(prompt|input|request)"
    r" is too (long|large)|too many (input |prompt )?tokens|reduce the length|model length"
)
_STREAM_ONLY = re.compile(
    r"\bstream.*(only|must|requir|enable)|(only|must|requir|enable).*\bstream"
)
_SYSTEM = re.compile(
    r"(system|developer)\b.*(role|message|instruction|prompt)|(role|variant|message|instruction|"
    r"prompt).*\b(system|developer)\b|roles?\b.*(alternate|only|support|should be|must be|expected)"
    r"|(only|support|unknown|invalid|unexpected).*\broles?\b"
)
_OTHER_ROLE = re.compile(r"\b(tool|function|assistant)\b")
_ABOUT_TOOLS = re.compile(r"tool|function|schema|declaration|parameter")
_CALLED = r"(?i)(?:tool|function)s?(?: name)?:? [\"'`\u201c\u2018]?{}(?![\w-])"
_QUOTED = r"[\"'`\u201c\u2018]{}[\"'`\u201d\u2019]"
"""How a refusal names a tool."""
_TOOL_AT = ("function_?declarations?", "functions", "tools")
"""What stands before the index of a refused tool; the first that is found counts."""
_SUM = re.compile(r"(\d+) \+ \d+ > (\d+)")
"""A refusal of what is longer than the context: tokens read + tokens to write > tokens of it."""
_ASKED = re.compile(r"limit:? (\d+),? (?:used:? \d+,? )?requested:? (\d+)")
"""A refusal of more tokens at once than an account may use: tokens read and to write together."""
_READ = re.compile(
    r"(\d+) (?:input|prompt) tokens|(?:input|prompt)\D{0,24}(\d+)"
    r"|(\d+) (?:tokens )?(?:in|from|of) (?:the |your )?(?:messages|prompt|input|text)"
)
_CONTEXT_TOKENS = re.compile(r"(?:context|maximum)\D{0,40}?(\d+)")
_NO_TEXT = re.compile(r"null|none\b|string|required|missing|array|empty|must|should")


def is_context_full(text: str) -> bool:
    """Return whether a refusal, in lower case, says that a conversation is too long."""
    return _CONTEXT.search(text) is not None


class Accepted:
    """What one endpoint accepts; `body` makes a request of it, `learn` reads a refusal.

    Args:
        turn_tokens: The most tokens of a reply.
        temperature: The temperature of the sampling.
        more: Further fields of each request, which the user wants; they are never left out.
    """

    def __init__(
        self, turn_tokens: int, temperature: float, more: Mapping[str, Any] | None = None
    ) -> None:
        self.turn_tokens = turn_tokens
        self._temperature = temperature
        self._more = dict(more or {})
        self._limits = list(LIMITS)
        self._refused: set[str] = set()
        self._refused_inside: set[str] = set()
        self._left_out: set[str] = set()
        self._stream = False
        self._system = "system"
        self._no_content: str | None = None

    def body(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a request, in the form that the endpoint accepts."""
        body = {**request, "temperature": self._temperature}
        if self._stream:
            body["stream"] = True
        if self._limits:
            body[self._limits[0]] = self.turn_tokens
        body = {key: value for key, value in body.items() if key not in self._refused} | self._more
        body["messages"] = self._messages(request["messages"])
        if request.get("tools"):
            body["tools"] = [t for t in request["tools"] if _name(t) not in self._left_out]
        return body

    def learn(self, refusal: str, body: Mapping[str, Any]) -> str:
        """Change what is sent, so that the part that a refusal names is accepted.

        Args:
            refusal: What the endpoint says, with the names of the fields that it points at.
            body: The request that was refused.

        Returns:
            What is changed, for the user to read; "" if the refusal names nothing that can be.
        """
        model = re.escape(str(body["model"]))  # its name may hold numbers
        text = re.sub(rf"(?<![\w-]){model}(?![\w-])", "", refusal, flags=re.I).lower()
        return (
            self._learn_length(text, body)
            or self._learn_field(_LISTED.split(text)[0], body)
            or self._learn_stream(text, body)
            or self._learn_message_field(text, body)
            or self._learn_system(text, body)
            or self._learn_content(text, body)
            or self._learn_tool(text, refusal, body)
        )

    def _learn_length(self, text: str, body: Mapping[str, Any]) -> str:
        """Ask for fewer tokens."""
        if not self._limits or self._limits[0] in self._more or self._limits[0] not in body:
            return ""
        now = self.turn_tokens
        named = any(_place(limit, text) >= 0 for limit in LIMITS)
        numbers = [int(found.replace(",", "")) for found in re.findall(r"\d+(?:,\d{3})*", text)]
        asked = _ASKED.search(text)
        if is_context_full(text) or asked:
            if not asked and not named and now not in numbers:
                return ""  # the conversation alone is too long
            room = _room(text, now)
            least = LEAST_ROOM if room is not None else 4 * LEAST_ROOM
            room = now if room is None else min(room, now)
            return self._lower(max(room // 2, least)) if room >= least else ""
        about_output = named or _OUTPUT.search(text)
        if not about_output or not _AT_MOST.search(text):
            return ""
        most = max((number for number in numbers if number < now), default=0)
        if most < LEAST_TOKENS and now in numbers:
            most = now // 2
        return self._lower(most)

    def _lower(self, most: int) -> str:
        if most < LEAST_TOKENS or most >= self.turn_tokens:
            return ""
        before, self.turn_tokens = self.turn_tokens, most
        return f"sampling.turn_tokens {most} in place of {before}"

    def _learn_field(self, text: str, body: Mapping[str, Any]) -> str:
        """Leave out the field that the refusal names first, or use another name for it."""
        known = {*self._limits[:1], *_OPTIONAL, *self._more} & body.keys()
        places = {place: name for name in known if (place := _place(name, text)) >= 0}
        name = places[min(places)] if places else ""
        if not name or name in self._more:  # the user's own
            return ""
        if name in self._limits:
            others = self._limits[1:]
            said = [other for other in others if _place(other, text) >= 0]
            if not said and not _UNKNOWN.search(text) and re.search(r"\d", text):
                return ""  # it is about the number
            self._limits = [*said, *(other for other in others if other not in said)]
            return f"{self._limits[0]} in place of {name}" if self._limits else f"no {name}"
        users_own = name == "temperature" and (body[name] or "at most" in text)
        if users_own and _OUT_OF_RANGE.search(text):
            return ""
        self._refused.add(name)
        return f"no {name}"

    def _learn_stream(self, text: str, body: Mapping[str, Any]) -> str:
        """Stream if the endpoint does nothing else."""
        if "stream" in {*body, *self._refused} or not _STREAM_ONLY.search(text):
            return ""
        self._stream = True
        return "stream"

    def _learn_message_field(self, text: str, body: Mapping[str, Any]) -> str:
        """Leave out fields inside the messages that are not part of every endpoint's form."""
        inside = _fields_inside(body["messages"])
        refused = _UNKNOWN.search(text)
        if _MISSING.search(text) and not refused:
            return ""
        named = {name for name in inside if _place(name, text) >= 0}
        if not named and refused and re.search(r"messages?\W{0,2}\d|tool_calls\W{0,2}\d", text):
            named = inside if not _SYSTEM.search(text) else set()
        self._refused_inside |= named
        return f"no {', '.join(sorted(named))} in messages" if named else ""

    def _learn_system(self, text: str, body: Mapping[str, Any]) -> str:
        """Send the system message in another role, at last as part of the user's message."""
        roles = {message["role"] for message in body["messages"]}
        if not roles & {"system", "developer"} or not _SYSTEM.search(text):
            return ""
        named = re.search(r"\b(system|developer)\b", text)
        if not named and _OTHER_ROLE.search(text) and not re.search(r"only|alternate|should", text):
            return ""
        developer = re.search(r"\bdeveloper\b", text) and self._system == "system"
        self._system = "developer" if developer and "system" in text else "user"
        return f"the system message in role {self._system}"

    def _learn_content(self, text: str, body: Mapping[str, Any]) -> str:
        """Send a text where a message has none."""
        contents = [message.get("content", "") for message in body["messages"]]
        if self._no_content == NO_CONTENT or _place("content", text) < 0:
            return ""
        if not _NO_TEXT.search(text):
            return ""
        if None in contents and not re.search(r"non-?empty|not be empty", text):
            self._no_content = ""
            return "empty text as the content of messages with calls"
        if "" in contents:
            self._no_content = NO_CONTENT
            return f"{NO_CONTENT} as the content of empty messages"
        return ""

    def _learn_tool(self, text: str, refusal: str, body: Mapping[str, Any]) -> str:
        """Leave out a tool that the refusal names or points at, unless it is the last one."""
        names = [_name(tool) for tool in body.get("tools", ())]
        if not _ABOUT_TOOLS.search(text):
            return ""
        refused = [name for name in names if _has(_CALLED, name, refusal)]
        places = (re.search(rf"{before}\W{{1,5}}(\d+)", refusal, re.I) for before in _TOOL_AT)
        place = next(filter(None, places), None)
        if not refused and place is not None:
            refused = names[int(place[1]) : int(place[1]) + 1]
        if not refused and re.search(r"tool|function|declaration", text):
            refused = [name for name in names if _has(_QUOTED, name, refusal)]
        if not refused or len(refused) == len(names):
            return ""
        self._left_out.update(refused)
        return f"without the tool {', '.join(refused)}"

    def _messages(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the messages in the form that the endpoint accepts."""
        sent = [_without(message, self._refused_inside) for message in messages]
        for message in sent:
            content = message.get("content", "")
            empty = not content and not message.get("tool_calls")
            if self._no_content is not None and (content is None or (self._no_content and empty)):
                message["content"] = self._no_content
            if message["role"] == "system":
                message["role"] = self._system
        return _folded(sent) if self._system == "user" else sent


def _folded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages in which what the user says without an answer between is one message."""
    folded = messages[:1]
    for message in messages[1:]:
        if message["role"] == folded[-1]["role"] == "user":
            folded[-1]["content"] += f"\n\n{message['content']}"
        else:
            folded.append(message)
    return folded


def _fields_inside(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the fields of messages and of their calls that not every endpoint knows."""
    inside: set[str] = set()
    for message in messages:
        inside |= message.keys() - _MESSAGE
        for call in message.get("tool_calls") or ():
            inside |= (call.keys() - _CALL) | (call["function"].keys() - _FUNCTION)
    return inside


def _without(value: Any, refused: set[str]) -> Any:
    """Return a message without some fields of its own, of its calls and of their functions."""
    if isinstance(value, list):
        return [_without(one, refused) for one in value]
    kept = {key: one for key, one in value.items() if key not in refused}
    inner = {key: _without(kept[key], refused) for key in _INSIDE if kept.get(key)}
    return {**kept, **inner}


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool["function"]["name"])


def _place(field: str, text: str) -> int:
    """Return where a text names a field, as `max_tokens`, `maxTokens` or "max tokens"; else -1."""
    pattern = re.escape(field.lower()).replace("_", "[ _-]?")
    found = re.search(rf"(?<![a-z0-9_]){pattern}(?![a-z0-9_])", text)
    return found.start() if found else -1


def _has(form: str, name: str, text: str) -> bool:
    return re.search(form.format(re.escape(name)), text) is not None


def _room(text: str, limit: int) -> int | None:
    """Return how many tokens a context has left, as a refusal says; None if it does not."""
    if found := _SUM.search(text):
        return max(int(found[2]) - int(found[1]), 0)
    if found := _ASKED.search(text):
        return max(int(found[1]) - max(int(found[2]) - limit, 0), 0)
    read, context = _READ.search(text), _CONTEXT_TOKENS.search(text)
    if read is None or context is None or int(context[1]) == limit:
        return None
    return max(int(context[1]) - int(next(filter(None, read.groups()))), 0)
