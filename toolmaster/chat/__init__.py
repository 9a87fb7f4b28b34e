"""Chat format: conversations become token ids, completion masks and phases in one place."""

from toolmaster.chat.render import ChatFormat, Rendered
from toolmaster.chat.template import CHATML_TOOLS, prepare_tokenizer

__all__ = ["CHATML_TOOLS", "ChatFormat", "Rendered", "prepare_tokenizer"]
