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
from toolmaster.world.values import data, kind_of, words

_SAID: Mapping[str, list[str]] = data("wording")["request"]
_LABELLED_SHARE = 0.12


def phrase(param: Param, value: Any, rng: random.Random) -> str:
    """Return how a request gives the value of a parameter."""
    said = param.kind.say(rng, value)
    if param.kind.type == "boolean":
        first, _, rest = param.label.partition(" ")
        if first in _SAID["done"]:
            return f"{'' if value else 'not '}{first.removesuffix('e')}ing {rest}".strip()
        return f"{'with' if value else 'without'} {param.label.removeprefix('with ')}"
    shape = param.phrase
    if not shape or rng.random() > 0.85:
        shape = rng.choice(_SAID["given"]).format(l=param.label, v="{}")
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
    return framed(rng.choice(_SAID["do"]), clause(operation, arguments, rng))


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
    return framed(rng.choice(_SAID["ask"]), text)


def ask_list(
    operation: Operation, arguments: Mapping[str, Any], rng: random.Random, *, count: bool
) -> str:
    """Return a question which records there are, or how many."""
    given = [(p, arguments[p.name]) for p in operation.params if p.name in arguments]
    rng.shuffle(given)
    said = "".join(f" {phrase(param, value, rng)}" for param, value in given)
    return rng.choice(_SAID["count" if count else "which"]).format(p=operation.noun, c=said)


def both(first: str, second: str, rng: random.Random) -> str:
    """Return two requests as one."""
    joined = rng.choice(_SAID["both"])
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
    said = [request]
    if rng.random() < 0.2:
        said.insert(0, rng.choice(_SAID["before"]).format(**parts))
    if rng.random() < 0.1:
        said.append(rng.choice(_SAID["after"]).format(**parts))
    return " ".join(said)


def missing(param: Param, rng: random.Random) -> str:
    """Return how an assistant asks for a value."""
    ways = _SAID["missing"]
    if param.label.endswith("s"):
        ways = ["How many {l}?"] if param.kind.type in ("integer", "number") else ways[::2]
    return rng.choice(ways).format(l=param.label)
