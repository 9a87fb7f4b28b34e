"""The oracle's words: several ways to say each thing, so that thoughts are not one fixed phrase."""

from __future__ import annotations

import random
from collections.abc import Mapping

PHRASES: Mapping[str, tuple[str, ...]] = {
    "expect": (
        "Should give {expected}.",
        "Expecting {expected}.",
        "The example says {expected}.",
        "Test it: {expected}?",
        "First check that it gives {expected}.",
    ),
    "probe": (
        "No example; see what it does.",
        "Unfamiliar, try it.",
        "Probe it first.",
        "Try it to learn how it works.",
    ),
    "try_write": (
        "Try storing {value} on the copy.",
        "Does it really store {value}?",
        "Test with {value} first.",
        "Writes can surprise; try {value}.",
    ),
    "read_back": (
        "Should be {value} now.",
        "Read back, expecting {value}.",
        "Is it {value}?",
        "Verify {value}.",
    ),
    "hint": (
        "I must {hint}.",
        "So {hint}.",
        "Refused: {hint}.",
        "Retry: {hint}.",
    ),
    "fine": (
        "{got} is right.",
        "{got}, as expected.",
        "{got} matches.",
    ),
    "works": ("That works.", "Accepted.", "Now it answers."),
    "scaled": (
        "{got}, not {expected}: {factor} times too large.",
        "Expected {expected}, got {got}: {factor} times as much.",
        "{got} is {expected} times {factor}.",
    ),
    "shifted": (
        "{got}, not {expected}; it may count from {origin}.",
        "Expected {expected}, got {got}: try one {direction}.",
    ),
    "twin": (
        "{got}, not {expected}; try {twin}.",
        "Expected {expected}, got {got}. Is {twin} better?",
    ),
    "too_small": (
        "{got}, not {value}: {factor} times too small, send {sent}.",
        "{value} became {got}; {factor} times more is {sent}.",
    ),
    "act": ("Now for real.", "Do it.", "Act on it.", "Next call."),
    "convert": ("{raw} / {factor} = {true}.", "{raw} divided by {factor} is {true}."),
    "answer": ("That answers it.", "I have it.", "Done."),
    "nothing": ("No trial is needed.", "I can act at once."),
}


def say(rng: random.Random, key: str, **parts: object) -> str:
    """One of the phrases of `key`, filled in."""
    return rng.choice(PHRASES[key]).format(**parts)
