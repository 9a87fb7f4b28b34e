"""Learns what a chat template writes around messages, by rendering test conversations with it.

A conversation becomes tokens message by message, so its template must only append: the text of
earlier messages stays the same when later ones are added, and contents are not changed. Many
templates do more (they drop old thoughts, trim contents, move the tools); `learn` then raises an
error that says what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

Render = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None, bool], str]
"""A function from messages, tools, and whether a generation prompt follows, to the text."""

USER, TURN, NEXT, OBSERVATION = "qmark1qmark", "tmark1tmark", "qmark2qmark", "omark1omark"
PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool_name",
        "description": "probe_description",
        "parameters": {
            "type": "object",
            "properties": {"probe_key": {"type": "string", "description": "probe_text"}},
            "required": ["probe_key"],
        },
    },
}
_CALL = (
    '<think>So: "a" < b?</think><tool_call>{"name": "f", "arguments": {"k": "é\\n"}}</tool_call>'
)
CONVERSATION = (
    ("system", "Write <think>...</think> and one block."),
    ("user", "What is it?\n<experience>f: cents</experience>"),
    ("assistant", _CALL),
    ("tool", '{"price": "4.50 <b>"}\n'),
    ("assistant", "<think>\n  hm </think>\n<experience>f: cents</experience> "),
    ("tool", "go on"),
    ("assistant", _CALL),
    ("tool", "  error: no"),
    ("assistant", "<think></think><answer>4</answer>"),
    ("user", " And now?\n"),
    ("assistant", "\n<think>ok</think><answer>5</answer>\n"),
)
"""Turns of the protocol, with contents that a template might trim, escape or move."""


class TemplateError(Exception):
    """The template cannot be used as it is; the message says what it does."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The text that a template writes around the contents of messages.

    Args:
        header: The generation prompt, before each assistant turn.
        end: The token after each assistant turn.
        around: For each role of an observation ("tool", "user"), the text before and after it. The
            text before follows `end`; the text after ends with `header`.
    """

    header: str
    end: str
    around: dict[str, tuple[str, str]]


def learn(render: Render, tokens: Sequence[str]) -> Pieces:
    """Return the pieces of a template that only appends.

    Args:
        render: The template.
        tokens: The texts of all added tokens of the tokenizer.

    Raises:
        TemplateError: The template does more than append.
    """
    opening = [{"role": "user", "content": USER}]
    start, bare = asked(render, opening, prompt=True), asked(render, opening)
    if not start.startswith(bare):
        raise TemplateError("changes the prompt where a generation prompt follows")
    opening.append({"role": "assistant", "content": TURN})
    around: dict[str, tuple[str, str]] = {}
    end: str | None = None
    for role, content in (("user", NEXT), ("tool", OBSERVATION)):
        text = asked(render, [*opening, {"role": role, "content": content}], prompt=True)
        if not text.startswith(start + TURN):
            raise TemplateError(
                "shows an earlier turn in another form than the one in which turns are generated"
            )
        rest = text.removeprefix(start + TURN)
        end = end or leading_token(rest, tokens)
        if end is None or not rest.startswith(end):
            raise TemplateError("ends an assistant turn without a special token")
        if rest.count(content) != 1:
            raise TemplateError(f"does not show a message of the role {role!r} once, as it is")
        before, after = rest.removeprefix(end).split(content)
        around[role] = (before, after)
    pieces = Pieces(start.removeprefix(bare), end or "", around)
    _check(render, pieces)
    return pieces


def asked(
    render: Render,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    prompt: bool = False,
) -> str:
    """Return messages as a template writes them.

    Raises:
        TemplateError: It refuses them.
    """
    try:
        return render(messages, tools, prompt)
    except Exception as error:
        roles = ", ".join(message["role"] for message in messages)
        reason = " ".join(str(error).split())
        raise TemplateError(f"refuses messages of the roles {roles}: {reason}") from error


def leading_token(text: str, tokens: Sequence[str]) -> str | None:
    """Return the longest token that the text begins with, or None."""
    return max((token for token in tokens if text.startswith(token)), key=len, default=None)


def common_prefix(one: Sequence[Any], two: Sequence[Any]) -> int:
    """Return the length of the common prefix of two texts or lists."""
    pairs = zip(one, two, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def shows_tools(render: Render) -> bool:
    """Return whether the template shows name, documentation and parameters of a tool."""
    opening = [{"role": "system", "content": "s"}, {"role": "user", "content": USER}]
    for messages in (opening, opening[1:]):
        with suppress(TemplateError):
            text = asked(render, messages, [PROBE_TOOL], prompt=True)
            shown = ("probe_tool_name", "probe_description", "probe_key")
            return all(part in text for part in shown)
    return False


def _check(render: Render, pieces: Pieces) -> None:
    """Check that a conversation is the sum of its pieces, after each message and with tools."""
    messages = [{"role": role, "content": content} for role, content in CONVERSATION]
    for tools in (None, [PROBE_TOOL]):
        text = asked(render, messages[:2], tools, prompt=True)
        for count, message in enumerate(messages[2:], 3):
            answered = message["role"] != "assistant"
            if answered:
                before, after = pieces.around[message["role"]]
                text += before + message["content"] + after
            else:
                text += message["content"] + pieces.end
            found = asked(render, messages[:count], tools, prompt=answered)
            if found != text and (answered or found.rstrip() != text.rstrip()):
                raise TemplateError(_reason(found, messages[:count]))


def _reason(found: str, messages: list[dict[str, str]]) -> str:
    """Return how a template changed a conversation that should be the sum of its pieces."""
    lost = next((m for m in messages[2:] if m["content"] not in found), None)
    if lost is None:
        return "rewrites earlier messages when later ones are added"
    if lost["content"].strip() in found:
        return f"trims the content of messages of the role {lost['role']!r}"
    if lost["role"] == "assistant" and "<think>" in lost["content"]:
        return "drops or rewrites the <think> block of a turn"
    return f"changes the content of messages of the role {lost['role']!r}"
