"""Makes a "flat" template, which only appends, from a model's own template.

Most templates do more: they drop the thoughts of earlier turns, trim contents, open <think> in the
generation prompt, or put today's date in the system message. A model is trained on exactly the
tokens that it saw and wrote, so a server must show it exactly these again. In the flat template the
model's own template writes the messages before the first turn, tools included. Then each turn and
observation is appended unchanged, between the tokens that the model knows. The flat template is
saved with the trained model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any

from toolmaster.chat.pieces import (
    NEXT,
    OBSERVATION,
    TURN,
    USER,
    Pieces,
    Render,
    TemplateError,
    asked,
    common_prefix,
    leading_token,
    shows_tools,
)
from toolmaster.chat.signatures import SIGNATURE_MACRO
from toolmaster.tags import RESPONSE_TAGS

_THINK = re.compile(r"(?:<think>\s*|(?:<think>\s*)?</think>\s*)\Z")
"""An opened <think> at the end of a generation prompt; the policy writes it itself."""
_TODAY = date(2024, 7, 26)
"""The date that Llama's template uses if it has no clock."""
_TEMPLATE = """\
{#- Made by toolmaster from the model's own template, which writes what stands before the first
turn. After it, messages are appended as they are. -#}
%(signature)s
{%%- macro own(messages, tools, add_generation_prompt) %%}
%(own)s{%% endmacro -%%}
{%%- set tools = tools if tools is defined and tools else none -%%}
{%%- set flat = namespace(head=[], turns=[], system='') -%%}
{%%- for message in messages -%%}
{%%- if flat.turns or message.role in ('assistant', 'tool') -%%}
{%%- set flat.turns = flat.turns + [message] -%%}
{%%- else -%%}
{%%- set flat.head = flat.head + [message] -%%}
{%%- endif -%%}
{%%- endfor -%%}
%(fold)s
{%%- if flat.head -%%}{{- own(flat.head, %(tools)s, %(prompted)s)%(cut)s -}}{%%- endif -%%}
{%%- for message in flat.turns -%%}
{%%- if message.role == 'assistant' -%%}
{{- %(header)s -}}{%% generation %%}{{- message.content or '' -}}
{%%- for call in message.tool_calls or [] -%%}
{{- '<tool_call>' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson + '</tool_call>' -}}
{%%- endfor -%%}{{- %(end)s -}}{%% endgeneration %%}
{%%- elif message.role == 'tool' -%%}
{{- %(before_tool)s + message.content + %(after_tool)s -}}
{%%- else -%%}
{{- %(before_user)s + message.content + %(after_user)s -}}
{%%- endif -%%}
{%%- endfor -%%}
{%%- if add_generation_prompt -%%}{{- %(header)s -}}{%%- endif -%%}
"""  # noqa: E501 - a template cannot break its lines
_TAKE_SYSTEM = """\
{%- if flat.head and flat.head[0].role == 'system' -%}
{%- set flat.system = flat.head[0].content -%}
{%- set flat.head = flat.head[1:] -%}
{%- endif -%}
"""
_LIST_TOOLS = """\
{%- if tools -%}
{%- set flat.system = flat.system + ('\\n' if flat.system else '') + '<tools>\\n' + signatures(tools) + '</tools>' -%}
{%- endif -%}
"""  # noqa: E501
_AS_SYSTEM = """\
{%- if flat.system -%}
{%- set flat.head = [{'role': 'system', 'content': flat.system}] + flat.head -%}
{%- endif -%}
"""
_INTO_USER = """\
{%- if flat.system and flat.head and flat.head[0].role == 'user' -%}
{%- set flat.head = [{'role': 'user', 'content': flat.system + '\\n\\n' + flat.head[0].content}] + flat.head[1:] -%}
{%- endif -%}
"""  # noqa: E501


def flatten(own: str, render: Render, tokens: Sequence[str]) -> str:
    """Return the flat template made from a model's own.

    Args:
        own: The source of the model's template.
        render: That template.
        tokens: The texts of all added tokens of the tokenizer.

    Raises:
        TemplateError: The template cannot render even a plain conversation.
    """
    native = shows_tools(render)
    prompted = _ends_text(render, tokens)
    plain: Render = render
    if prompted:

        def plain(messages: Any, tools: Any, _prompt: bool) -> str:
            return render(messages, tools, True).removesuffix(prompted)

    pieces = _plain_pieces(plain, tokens, native=native)
    parts = {"header": pieces.header, "end": pieces.end}
    for role, (before, after) in pieces.around.items():
        parts |= {f"before_{role}": before, f"after_{role}": after}
    return _TEMPLATE % {
        "own": own.removesuffix("\n"),
        "signature": "" if native else SIGNATURE_MACRO,
        "fold": _fold(render, native=native),
        "tools": "tools" if native else "none",
        "prompted": "true" if prompted else "false",
        "cut": f"[:-{len(prompted)}]" if prompted else "",
        **{name: json.dumps(text, ensure_ascii=False) for name, text in parts.items()},
    }


def _ends_text(render: Render, tokens: Sequence[str]) -> str:
    """Return the generation prompt if the template ends the text differently without it, else "".

    Phi's template does. The messages before the first turn are then rendered with the generation
    prompt, which is cut off again.
    """
    opening = [{"role": "user", "content": USER}]
    try:
        ended, prompted = asked(render, opening), asked(render, opening, prompt=True)
    except TemplateError:
        return ""
    if prompted.startswith(ended):
        return ""
    same = common_prefix(ended, prompted)
    # the token that differs may begin alike in both texts
    begins = [(prompted.rfind(token, 0, same + len(token) - 1), len(token)) for token in tokens]
    return prompted[min([same, *(at for at, size in begins if -1 < at < same < at + size)]) :]


def _plain_pieces(render: Render, tokens: Sequence[str], *, native: bool) -> Pieces:
    """Return what the template writes around plain contents, without generation prompts."""
    opening = [{"role": "user", "content": USER}, {"role": "assistant", "content": TURN}]
    head = asked(render, opening[:1])
    text = asked(render, [*opening, {"role": "user", "content": NEXT}])
    if not text.startswith(head) or text.count(TURN) != 1 or text.count(NEXT) != 1:
        raise TemplateError("does not show a plain conversation message by message")
    begin, rest = text.split(TURN)
    end = leading_token(rest, tokens)
    if end is None:
        raise TemplateError("ends an assistant turn without a special token")
    before, after = rest.removeprefix(end).split(NEXT)
    tool = _tool_around(render, opening, TURN + end, tokens) if native else None
    header = _THINK.sub("", begin.removeprefix(head)).rstrip(" ")
    in_tags = before + RESPONSE_TAGS[0], RESPONSE_TAGS[1] + after
    return Pieces(header, end, {"user": (before, after), "tool": tool or in_tags})


def _tool_around(
    render: Render, opening: list[dict[str, Any]], turn: str, tokens: Sequence[str]
) -> tuple[str, str] | None:
    """Return the text around a tool message, or None if its content is not enough to render it."""
    shown = f'{OBSERVATION}"<'
    try:
        text = asked(render, [*opening, {"role": "tool", "content": shown}])
    except TemplateError:
        return None
    rest, quoted = text.partition(turn)[2], json.dumps(shown)
    if rest.count(quoted) == 1:  # Llama writes a text as a JSON string
        before, after = rest.split(quoted)
        return (before, after) if leading_token(after, tokens) else None
    before, found, after = rest.partition(shown)
    return (before, after) if found and shown not in after else None


def _fold(render: Render, *, native: bool) -> str:
    """Return the template code that moves system message and tools to where they are shown."""
    messages = [{"role": "system", "content": NEXT}, {"role": "user", "content": USER}]
    shown = False
    with suppress(TemplateError):
        shown = NEXT in asked(render, messages)
    if native and shown:
        return ""
    tools = "" if native else _LIST_TOOLS
    return _TAKE_SYSTEM + tools + (_AS_SYSTEM if shown else _INTO_USER)


def with_still_clock(own: str) -> str:
    """Return the template with a fixed date in place of today's, so that prompts do not change.

    Args:
        own: The source of a template.
    """
    if "strftime_now" not in own or "macro strftime_now" in own:
        return own
    formats = set(re.findall(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""", own))
    dates = json.dumps({form: _TODAY.strftime(form) for _, form in sorted(formats)})
    value = f"{dates}.get(form, {json.dumps(_TODAY.isoformat())})"
    return f"{{%- macro strftime_now(form) -%}}{{{{- {value} -}}}}{{%- endmacro %}}{own}"
