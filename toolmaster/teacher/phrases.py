"""The oracle's words: several ways to say each thing, so that thoughts are not one fixed phrase."""

from __future__ import annotations

import random
from collections.abc import Mapping

PHRASES: Mapping[str, tuple[str, ...]] = {
    "expect": (
        "Test {tool} first: {given} should give {expected}.",
        "Check {tool} on its example, {given}: expecting {expected}.",
        "The documentation of {tool} says {given} gives {expected}; try it.",
        "Try {tool} with {given} and see whether it returns {expected}.",
    ),
    "probe": (
        "See how {tool} behaves with {given}.",
        "{tool} is unfamiliar; try it with {given}.",
        "Probe {tool} with {given} to learn how it works.",
        "No example for {tool}, so try {given}.",
    ),
    "try_write": (
        "Try {tool} on the copy, then read it back.",
        "Does {tool} really store {value}? Try it, then look.",
        "Writes can surprise: test {tool} with {value} first.",
        "See what {tool} does with {value}.",
    ),
    "read_back": (
        "Read it back: expecting {value}.",
        "Now look whether it is {value}.",
        "Check that {value} was stored.",
        "It should now be {value}; verify.",
    ),
    "hint": (
        "The error says: {hint}.",
        "Refused. I must {hint}.",
        "So I have to {hint}.",
        "That failed; {hint} instead.",
    ),
    "fine": (
        "{got} is as expected.",
        "It returns {got}, as it should.",
        "{got}: correct.",
        "Good, {got} matches.",
    ),
    "works": ("That works.", "Accepted, it gives {got}.", "Now it answers {got}.", "{got}: fine."),
    "scaled": (
        "{got} instead of {expected}: {factor} times too large.",
        "Expected {expected} but got {got}, {factor} times as much.",
        "{got} is not {expected}; it counts in 1/{factor}.",
        "{got} is {expected} times {factor}.",
    ),
    "shifted": (
        "{got} is not {expected}; perhaps it counts from {origin}.",
        "Expected {expected}, got {got}: try one {direction}.",
        "{got} instead of {expected}, so positions may count from {origin}.",
    ),
    "twin": (
        "{got} is not {expected}; try {twin} instead.",
        "Expected {expected} but got {got}. Does {twin} do better?",
        "{got} instead of {expected}: {tool} misleads, test {twin}.",
    ),
    "too_small": (
        "{got} instead of {value}: {factor} times too small, so send {sent}.",
        "It stored {got}, not {value}; multiply by {factor}: {sent}.",
        "{value} became {got}; {factor} times more is {sent}.",
    ),
    "act": (
        "Now do it with {tool}.",
        "Use {tool}.",
        "Call {tool} for real.",
        "Next, {tool}.",
    ),
    "convert": ("{raw} / {factor} = {true}.", "{raw} divided by {factor} is {true}."),
    "answer": ("That is the answer.", "I have it.", "So this answers the question.", "Done."),
    "nothing": (
        "No trial is needed.",
        "I can act at once.",
    ),
}


def say(rng: random.Random, key: str, **parts: object) -> str:
    """One of the phrases of `key`, filled in."""
    return rng.choice(PHRASES[key]).format(**parts)
