"""Other words in the place of those that documentation and requests have in common.

The training domains document some fifty tools; a model that meets no others learns their sentences
by heart and writes them where others stand. Tasks of the seen split therefore speak, half of the
time, of things that are not in any domain: "Gravel of a plorin in wuns" where the domain says
"Price of a product in dollars", and a request that asks for the gravel of a plorin.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

from toolmaster.world.domain import Plan, ToolDef
from toolmaster.world.lexicon import long_words, outside, reworded

_KEPT = {
    *("another", "behind", "does", "each", "from", "have", "into", "many", "more", "move", "much"),
    *("none", "note", "other", "that", "their", "there", "they", "what", "when", "where", "which"),
    "with",
}
"""Words that carry the sentence, or tell a tool that writes."""
_SHARE = 0.6
"""Chance of each other word to be replaced."""


def reword(plan: Plan, rng: random.Random) -> None:
    """Put other words into the request of a plan and the documentation of its domain's tools.

    A word of a tool that the plan needs is replaced only if the request has it too: else nothing
    would tell that it is meant.

    Args:
        plan: gets another request, `words`, and a domain that differs in documentation alone.
        rng: draws the words.
    """
    tools = plan.domain.tools
    needed = _words(tools[call.tool] for call in plan.calls)
    fixed = needed - long_words(plan.query) | _KEPT
    drawn: dict[str, str] = {}
    for word in sorted(_words(tools.values()) - fixed):
        if rng.random() < _SHARE:
            drawn[word] = outside(rng)
    plan.words = drawn
    plan.query = reworded(plan.query, drawn)
    plan.domain = replace(plan.domain, tools={key: _other(tools[key], drawn) for key in tools})


def _other(tool: ToolDef, words: Mapping[str, str]) -> ToolDef:
    nouns = tuple(reworded(noun, words) for noun in tool.nouns)
    return replace(tool, doc=reworded(tool.doc, words), nouns=nouns)


def _words(tools: Iterable[ToolDef]) -> set[str]:
    """The long words that documentation is made of: see `surface.describe`."""
    texts = (text for tool in tools for text in (tool.doc, tool.nouns[0]))
    return {word for text in texts for word in long_words(text)}
