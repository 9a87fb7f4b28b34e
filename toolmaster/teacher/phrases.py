"""The oracle's words: several ways to say each thing, so that thoughts are not one fixed phrase.

Names stand in quotation marks of one kind or the other, as they do in calls: see
`chat.template` for why.
"""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, tuple[str, ...]] = {
    "expect": (
        "I need the {what}: `{tool}`. Its example should give {expected}.",
        "`{tool}` tells the {what}. Test it, expecting {expected}.",
        "The {what} comes from `{tool}`. First check its example: {expected}?",
        "For the {what}, `{tool}`. The example says {expected}.",
    ),
    "probe": (
        "I need the {what}: `{tool}`. It has no example, so try it.",
        "`{tool}` may tell the {what}; see what it does.",
        "For the {what}, `{tool}` perhaps. Probe it first.",
    ),
    "try_write": (
        "I have to {what}: `{tool}`. Try {value} on the copy. The {shows}: `{reader}`.",
        "`{tool}` should {what}. Test with {value}. For the {shows}, `{reader}`.",
        "To {what}, `{tool}`. Does it store {value}? The {shows} comes from `{reader}`.",
    ),
    "read_back": (
        "`{reader}` should give {value} now.",
        "Read back with `{reader}`, expecting {value}.",
        "Is it {value}? Ask `{reader}`.",
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
    "equal": ("{got}, should be {expected}: right.", "{got} for {expected}: fine."),
    "works": ("That works.", "Accepted.", "Now it answers."),
    "scaled": (
        "{got}, should be {expected}: {ratio}. So {got} {sign} {factor} = {expected}.",
        "{got} for {expected}: {ratio}. So {got} {sign} {factor} = {expected}.",
    ),
    "shifted": (
        "{got}, not {expected}; it may count from {origin}.",
        "Expected {expected}, got {got}: try one {direction}.",
    ),
    "twin": (
        "{got}, should be {expected}: `{tool}` is wrong, try `{twin}`.",
        "{got} for {expected}: not `{tool}`. Is `{twin}` better?",
    ),
    # What was stored is judged in other words than what was read, for other things follow.
    "stored": ("{expected} is stored as {got}: right.", "{expected} became {got}: fine."),
    "stored_twin": (
        "{expected} is stored as {got}: `{tool}` is wrong, try `{twin}`.",
        "{expected} became {got}: not `{tool}`. Is `{twin}` better?",
    ),
    "misstored": ("{expected} is stored as {got}: {ratio}.", "{expected} became {got}: {ratio}."),
    "wrong_factor": (
        "{expected} is stored as {got}: {ratio}, so {guess} {sign} {off} = {factor}.",
        "{expected} became {got}: {ratio}, so {guess} {sign} {off} = {factor}.",
    ),
    "used_up": (
        "No trial is left: write down what is known.",
        "The trial is over. What I know must do.",
        "No more trials; note what they showed.",
    ),
    "act": (
        "Now for real: `{tool}`.",
        "Do it with `{tool}`.",
        "Next, `{tool}`.",
    ),
    "formed": ('"{name}" is "{form}" there.', '"{name}" becomes "{form}".'),
    "ratio": ("{larger} / {smaller} = {factor}",),
    "zeros": ("{larger} = {smaller} {rest}: {factor}",),
    "places": ("{larger} = {smaller}{rest}, {zeros}: {factor}",),
    "convert": ("{raw} {sign} {factor} = {true}.", "So {raw} {sign} {factor} = {true}."),
    "cut": (
        "{raw} {sign} {factor}: {ahead} {behind}, {true}.",
        "So {raw} {sign} {factor}: {ahead} {behind}, {true}.",
    ),
    "send": ("Send {value} {sign} {factor} = {sent}.", "I send {value} {sign} {factor} = {sent}."),
    "misread_tool": ("The tool is called `{right}`.", "I misread the name: `{right}`."),
    "misread_parameter": ("The parameter is `{right}`.", "It is called `{right}`."),
    "misread_entity": ('I misspelt it: "{right}".', 'It must be "{right}".'),
    "mistaken_tool": (
        "That is another tool; I need `{right}`.",
        "Wrong tool: `{right}`.",
        "Not that tool but `{right}`.",
    ),
    "misread_reader": (
        "`{wrong}` writes. The {shows}: `{reader}`.",
        "That wrote. For the {shows}, `{reader}`.",
        "That is no reading. The {shows} comes from `{reader}`.",
    ),
    "answer": ("That answers it.", "I have it.", "Done."),
    "known": ("I know these tools.", "Known from before.", "This was tried before."),
    "nothing": ("No trial is needed.", "I can act at once."),
}


VOICES = 4
"""How many ways of speaking there are."""


def say(voice: int, key: str, **parts: object) -> str:
    """What a voice says for `key`, filled in.

    One voice goes through a whole demonstration: its first words foretell the others, so that a
    student spends its learning on what is said rather than on how.

    Args:
        voice: from 0 to `VOICES` - 1.
        key: of `PHRASES`.
        parts: what the phrase names.
    """
    ways = PHRASES[key]
    return ways[voice % len(ways)].format(**parts)
