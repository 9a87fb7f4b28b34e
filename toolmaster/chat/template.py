"""Chooses the chat template that a model is trained and served with.

A template that only appends is used as it is, so that a server shows the model what it saw in
training. Any other is replaced by a flat template made from it (`chat.flat`). A model whose
template cannot show tools, but whose vocabulary has ChatML's tokens (SmolLM2), gets our ChatML
template.
"""

from __future__ import annotations

from typing import Any

from toolmaster.chat.flat import flatten, with_still_clock
from toolmaster.chat.pieces import Pieces, Render, TemplateError, learn, shows_tools
from toolmaster.chat.signatures import SIGNATURE_MACRO
from toolmaster.errors import InputError

CHATML_TOOLS = (
    SIGNATURE_MACRO
    + """\
{%- if tools and (not messages or messages[0].role != 'system') -%}
{{- '<|im_start|>system\n<tools>\n' }}{{ signatures(tools) }}{{ '</tools><|im_end|>' }}
{%- endif -%}
{%- for message in messages -%}
{{- '' if loop.first and not (tools and message.role != 'system') else '\n' -}}
{%- if message.role == 'system' -%}
{{- '<|im_start|>system\n' + message.content }}{% if tools and loop.first %}{{ '\n<tools>\n' }}{{ signatures(tools) }}{{ '</tools>' }}{% endif %}{{ '<|im_end|>' }}
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
)
"""Our ChatML template. The newline between turns belongs to the *next* turn, so every message ends
at the end-of-turn token, and engines that tokenise turn by turn see the same tokens."""
_CHATML = ("<|im_start|>", "<|im_end|>")


def template_pieces(tokenizer: Any) -> Pieces:
    """Return what the tokenizer's chat template writes around turns and observations.

    Raises:
        InputError: The template does more than append.
    """
    try:
        return _learn(tokenizer)
    except TemplateError as error:
        raise InputError(
            f"the chat template of {tokenizer.name_or_path!r} {error}; tokens of training, of"
            " rollouts and of a server would differ. Load the tokenizer with"
            " toolmaster.models.load_tokenizer, which makes a template that only appends"
        ) from None


def prepare_tokenizer(tokenizer: Any) -> Any:
    """Give the tokenizer a chat template that shows tools and only appends, if it has none.

    The end-of-turn token becomes `eos_token`, where generation stops.

    Args:
        tokenizer: A Transformers tokenizer; changed in place.

    Returns:
        The same tokenizer.

    Raises:
        InputError: No such template can be made.
    """
    own = tokenizer.chat_template
    if isinstance(own, dict):  # a model may have several, one of them for tools
        own = own.get("tool_use") or own.get("default")
    lacks = [token for token in _CHATML if token not in tokenizer.get_vocab()]
    reasons = [] if own else ["is missing"]
    if own:
        tokenizer.chat_template = own = with_still_clock(own)
        render = renderer(tokenizer)
        native = shows_tools(render)
        try:
            if not native:
                raise TemplateError("shows no tools")
            return _settled(tokenizer)
        except TemplateError as error:
            reasons.append(str(error))
        try:
            if native or lacks:
                tokenizer.chat_template = flatten(own, render, added_tokens(tokenizer))
                return _settled(tokenizer)
        except TemplateError as error:
            reasons.append(str(error))
    if lacks:
        tokenizer.chat_template = own
        why = " and ".join(dict.fromkeys(reasons))
        raise InputError(
            f"the chat template of {tokenizer.name_or_path!r} {why}, and the vocabulary lacks"
            f" {lacks[0]!r}, which our ChatML template needs; use a checkpoint of an instruct model"
            " with a chat template, or add ChatML's special tokens to its vocabulary"
        )
    tokenizer.chat_template = CHATML_TOOLS
    return _settled(tokenizer)


def renderer(tokenizer: Any) -> Render:
    """Return the tokenizer's current chat template as a function."""
    template = tokenizer.chat_template

    def render(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, prompt: bool
    ) -> str:
        text = tokenizer.apply_chat_template(
            messages,
            tools=tools or None,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=prompt,
        )
        return str(text)

    return render


def added_tokens(tokenizer: Any) -> list[str]:
    """Return the texts of all added tokens of the vocabulary, special or not."""
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if str(token).strip()]


def _learn(tokenizer: Any) -> Pieces:
    return learn(renderer(tokenizer), added_tokens(tokenizer))


def _settled(tokenizer: Any) -> Any:
    """Make the end of a turn the `eos_token`, check the template again, return the tokenizer."""
    tokenizer.eos_token = _learn(tokenizer).end
    _learn(tokenizer)  # a template may write eos_token elsewhere
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
