"""Requests: what a user says for a call, put together from patterns.

The parts are a frame ("Could you ...?"), a clause ("book a room", "the price of a room"), and one
phrase for each value ("for Ada Holm", "nights: 3"), in any order. A value may be said in another
form than the call needs: see `values.Kind.say`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from toolmaster.world.service import Operation, Param
from toolmaster.world.values import kind_of, words

_DO = (
    "{C}.",
    "Please {c}.",
    "Could you {c}?",
    "Can you {c} for me?",
    "I need you to {c}.",
    "I'd like to {c}.",
    "{C}, please.",
    "I want to {c}.",
    "Go ahead and {c}.",
    "We have to {c}.",
    "Would you {c}?",
    "Help me {c}.",
)
_ASK = (
    "What is {c}?",
    "Tell me {c}.",
    "I'd like to know {c}.",
    "Find out {c}.",
    "Can you look up {c}?",
    "Give me {c}.",
    "I need {c}.",
    "Could you tell me {c}?",
    "What's {c}?",
    "Please get {c}.",
    "I am looking for {c}.",
    "Check {c} for me.",
)
_WHICH = (
    "Which {p} are there{c}?",
    "List {p}{c}.",
    "Show me all {p}{c}.",
    "Find {p}{c}.",
    "I need the {p}{c}.",
    "What {p} do we have{c}?",
)
_COUNT = (
    "How many {p} are there{c}?",
    "Count the {p}{c}.",
    "What is the number of {p}{c}?",
    "Tell me how many {p} we have{c}.",
)
_BEFORE = (
    "I am planning the week.",
    "I talked to {n} about {t} yesterday.",
    "My colleague {n} asked me this.",
    "This is for our {t} group.",
    "I'm back from {g}.",
    "Hello!",
    "Hi there.",
    "Sorry to bother you.",
    "It is about {t}.",
    "We are a small {t} club in {g}.",
)
_AFTER = ("Thanks!", "Thank you.", "It is urgent.", "No hurry.", "{n} is waiting for it.")
_VERBS = ("copy", "end", "include", "keep", "notify", "send", "show", "tell", "use", "wipe")
"""First words of options that say what is done; a request says "keeping parts"."""
_LABELLED_SHARE = 0.12
_GENERIC = ("with {l} {v}", "with {l} {v}", "{l} {v}", "with the {l} {v}", "using {v} as {l}")


def phrase(param: Param, value: Any, rng: random.Random) -> str:
    """Return how a request gives the value of a parameter."""
    said = param.kind.say(rng, value)
    if param.kind.type == "boolean":
        first, _, rest = param.label.partition(" ")
        if first in _VERBS:
            return f"{'' if value else 'not '}{first.removesuffix('e')}ing {rest}".strip()
        return f"{'with' if value else 'without'} {param.label.removeprefix('with ')}"
    shape = param.phrase
    if not shape or rng.random() > 0.85:
        shape = rng.choice(_GENERIC).format(l=param.label, v="{}")
    if param.kind.unit == param.label and param.label in shape:  # not "nights: two nights"
        said = said.removesuffix(f" {param.kind.unit}")
    return filled(shape, said)


def filled(shape: str, said: str) -> str:
    """Put a value into its place; what is quoted there is not quoted again."""
    return shape.format(said).replace('""', '"')


def unquoted(request: str) -> str:
    """Return a request without quotation marks around names, which begin with a capital letter."""
    return re.sub(r'"([A-Z][^"]*)"', r"\1", request)


def clause(operation: Operation, arguments: Mapping[str, Any], rng: random.Random) -> str:
    """Return what is asked for, with every argument that is given."""
    given = [(p, arguments[p.name]) for p in operation.params if p.name in arguments]
    text = operation.clause
    if "{}" in text and given:
        text = filled(text, given[0][0].kind.say(rng, given[0][1]))
        given = given[1:]
    if given and rng.random() < _LABELLED_SHARE:
        listed = [f"{p.label}: {p.kind.say(rng, v)}" for p, v in given]
        return f"{text} ({rng.choice((', ', '; ')).join(listed)})"
    rng.shuffle(given)
    # What stands behind its noun goes first, as in "the price of a room for two".
    given.sort(key=lambda pair: pair[0].phrase.startswith("of "), reverse=True)
    return " ".join([text, *(phrase(param, value, rng) for param, value in given)])


def do(operation: Operation, arguments: Mapping[str, Any], rng: random.Random) -> str:
    """Return a request to do something."""
    return framed(rng.choice(_DO), clause(operation, arguments, rng))


def ask(
    operation: Operation, arguments: Mapping[str, Any], rng: random.Random, field: str = ""
) -> str:
    """Return a question about a result, or about one field of it."""
    text = clause(operation, arguments, rng)
    if field:
        text = rng.choice(("the {f} of {c}", "the {f} of {c}", "the {f} for {c}")).format(
            f=field.replace("_", " "), c=text
        )
    return question(text, rng)


def question(text: str, rng: random.Random) -> str:
    """Return a question for what a text names."""
    return framed(rng.choice(_ASK), text)


def ask_list(
    operation: Operation, arguments: Mapping[str, Any], rng: random.Random, *, count: bool
) -> str:
    """Return a question which records there are, or how many."""
    given = [(p, arguments[p.name]) for p in operation.params if p.name in arguments]
    rng.shuffle(given)
    said = "".join(f" {phrase(param, value, rng)}" for param, value in given)
    return rng.choice(_COUNT if count else _WHICH).format(p=operation.noun, c=said)


def both(first: str, second: str, rng: random.Random) -> str:
    """Return two requests as one."""
    joined = rng.choice(("{a} And {b}", "{a} Then {b}", "{a} Also, {b}", "{a} {B}"))
    lower = second if second.startswith("I") else second[0].lower() + second[1:]
    return joined.format(a=first, b=lower, B=second)


def framed(frame: str, text: str) -> str:
    """Put a clause into a frame."""
    return frame.format(c=text, C=text[0].upper() + text[1:])


def dressed(request: str, rng: random.Random) -> str:
    """Put other sentences around a request now and then."""
    listed = words()
    parts = {"t": rng.choice(listed["topic"]), "g": kind_of("city").draw(rng)}
    parts["n"] = kind_of("person").draw(rng)
    before = f"{rng.choice(_BEFORE).format(**parts)} " if rng.random() < 0.2 else ""
    after = f" {rng.choice(_AFTER).format(**parts)}" if rng.random() < 0.1 else ""
    return f"{before}{request}{after}"


def missing(param: Param, rng: random.Random) -> str:
    """Return how an assistant asks for a value."""
    ways = ["Which {l}?", "What is the {l}?", "Which {l} should I take?"]
    if param.label.endswith("s"):
        ways = ["How many {l}?"] if param.kind.type in ("integer", "number") else ways[::2]
    return rng.choice(ways).format(l=param.label)
