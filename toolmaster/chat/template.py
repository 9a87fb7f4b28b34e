"""Our ChatML template with tools, for models whose own template knows none (SmolLM2).

Three choices matter. The newline between turns belongs to the *next* turn, so every message ends
exactly at the end-of-turn token and engines that re-tokenise turn by turn see the same tokens.
A tool is its description, then a signature line: a model reads from left to right, and a name that
stands before its description is read without knowing what it is for. A parameter that is more than
a plain type keeps its JSON schema. No name follows a space: after a space a word has other tokens
than after the quotation mark of a call, and a small model copies tokens better than it spells.
"""

from __future__ import annotations

from typing import Any

from toolmaster.errors import InputError

CHATML_TOOLS = """\
{%- macro signature(tool) -%}
{%- set f = tool.function if tool.function is defined else tool -%}
{%- set params = f.parameters or {} -%}
{%- if f.description %}# {{ f.description | replace('\n', '\n# ') + '\n' }}{% endif -%}
{{- f.name }}(
{%- for key, schema in (params.properties or {}).items() -%}
{{- key }}{{ '' if key in (params.required or []) else '?' }}:{{ schema.type if schema is mapping and (schema.keys() | list) == ['type'] else schema | tojson }}
{%- if not loop.last %},{% endif -%}
{%- endfor -%})
{%- endmacro -%}
{%- if tools and (not messages or messages[0].role != 'system') -%}
{{- '<|im_start|>system\n<tools>\n' }}{% for tool in tools %}{{ signature(tool) + '\n' }}{% endfor %}{{ '</tools><|im_end|>' }}
{%- endif -%}
{%- for message in messages -%}
{{- '' if loop.first and not (tools and message.role != 'system') else '\n' -}}
{%- if message.role == 'system' -%}
{{- '<|im_start|>system\n' + message.content }}{% if tools and loop.first %}{{ '\n<tools>\n' }}{% for tool in tools %}{{ signature(tool) + '\n' }}{% endfor %}{{ '</tools>' }}{% endif %}{{ '<|im_end|>' }}
{%- elif message.role == 'tool' -%}
{{- '<|im_start|>user\n<tool_response>' + message.content + '</tool_response><|im_end|>' }}
{%- elif message.role == 'assistant' -%}
{{- '<|im_start|>assistant\n' }}{% generation %}{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson + '</tool_call>' }}
{%- endfor %}{{ '<|im_end|>' }}{% endgeneration %}
{%- else -%}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '\n<|im_start|>assistant\n' }}{% endif -%}
"""  # noqa: E501 - a template cannot break its lines

_PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool_name",
        "description": "probe_description",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string"}}},
    },
}


def supports_tools(tokenizer: Any) -> bool:
    """Whether the tokenizer's chat template shows both tools and tool messages to the model."""
    if not tokenizer.chat_template:
        return False
    conversation = [
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": "reply"},
        {"role": "tool", "content": "probe_observation"},
    ]
    try:
        text = tokenizer.apply_chat_template(conversation, tools=[_PROBE_TOOL], tokenize=False)
    except Exception:  # noqa: BLE001 - a template may raise anything; then it does not support tools
        return False
    return all(
        part in text for part in ("probe_tool_name", "probe_key", "<tool_response>", "probe_obs")
    )


def prepare_tokenizer(tokenizer: Any) -> Any:
    """Give the tokenizer our template if its own cannot carry tools; leave it alone otherwise.

    Args:
        tokenizer: a Transformers tokenizer; changed in place.

    Returns:
        The same tokenizer.

    Raises:
        InputError: the model has neither a template with tools nor ChatML's special tokens.
    """
    if supports_tools(tokenizer):
        return tokenizer
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in ("<|im_start|>", "<|im_end|>") if token not in vocabulary]
    if missing:
        raise InputError(
            f"the chat template of {tokenizer.name_or_path!r} shows no tools and the vocabulary"
            f" lacks {missing[0]!r}, which our ChatML template needs; use a checkpoint whose"
            " template supports tools, or add ChatML's special tokens to its vocabulary"
        )
    tokenizer.chat_template = CHATML_TOOLS
    tokenizer.eos_token = "<|im_end|>"  # noqa: S105 - a token, not a secret
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
