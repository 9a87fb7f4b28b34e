"""The chat format: turns conversations into token ids, completion masks and phases."""

from toolmaster.chat.render import ChatFormat, Rendered
from toolmaster.chat.template import CHATML_TOOLS, prepare_tokenizer

__all__ = ["CHATML_TOOLS", "ChatFormat", "Rendered", "prepare_tokenizer"]
