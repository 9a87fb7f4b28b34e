"""The oracle's words: several ways to say each thing, so that thoughts are not one fixed phrase.

Names stand in quotation marks of one kind or the other, as they do in calls: see
`chat.template` for why. What a tool is needed for is said before the tool is named: the words are
written one after the other, and a tool named first is chosen without it. Verdicts and the last
thought have one wording in every voice, as reckonings do (`teacher.arithmetic`): to compare two
numbers is the hard part, and is learned from all.
"""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, tuple[str, ...]] = {
    "expect": (
        "I need the {what}: `{tool}`. Its example should give {expected}.",
        "The {what} is wanted: `{tool}`. Test it, expecting {expected}.",
        "The {what} comes from `{tool}`. First check its example: {expected}?",
        "For the {what}, `{tool}`. The example says {expected}.",
    ),
    "probe": (
        "I need the {what}: `{tool}`. It has no example, so try it.",
        "The {what} may come from `{tool}`; see what it does.",
        "For the {what}, `{tool}` perhaps. Probe it first.",
    ),
    "try_write": (
        "I have to {what}: `{tool}`. Try {value} on the copy. The {shows}: `{reader}`.",
        "The task is to {what}: `{tool}`. Test with {value}. For the {shows}, `{reader}`.",
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
    "fine": ("{got} is right.",),
    "works": ("That works.", "Accepted.", "Now it answers."),
    "scaled": ("{got}, not {expected}, {off}. So {verb} by {factor}.",),
    "shifted": (
        "{got}, not {expected}; it may count from {origin}.",
        "Expected {expected}, got {got}: try one {direction}.",
    ),
    "twin": ("{got}, not {expected}{unscaled}; try `{twin}`.",),
    # What was stored is judged in other words than what was read, for other things follow.
    "stored_twin": ("{got} is stored, not {expected}{unscaled}; try `{twin}`.",),
    "stored_nothing": ("Nothing is stored; try `{twin}`.",),  # "0 is stored" begins "0.12 is" too
    "misstored": ("{got} is stored, not {expected}, {off}. So {verb} by {factor}. Send {sent}.",),
    "wrong_factor": ("{got} is stored, not {expected}, {off}. So {right}.",),
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
    "act_scaled": (
        "Now for real: `{tool}`, then {lesson}.",
        "Do it with `{tool}`, then {lesson}.",
        "Next, `{tool}`, then {lesson}.",
    ),
    "formed": ('"{name}" is "{form}" there.', '"{name}" becomes "{form}".'),
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
    "answer": ("That answers it.",),
    "known": ("I know these tools.", "Known from before.", "This was tried before."),
    "nothing": ("No trial is needed.", "I can act at once."),
}


VOICE_SHARES = (2, 1, 1, 1)
"""How often each way of speaking is taken. One is the most usual, so that a student that always
takes the likeliest word speaks it, the one it has seen most of."""


def say(voice: int, key: str, **parts: object) -> str:
    """What a voice says for `key`, filled in.

    One voice goes through a whole demonstration: its first words foretell the others, so that a
    student spends its learning on what is said rather than on how.

    Args:
        voice: an index of `VOICE_SHARES`.
        key: of `PHRASES`.
        parts: what the phrase names.
    """
    ways = PHRASES[key]
    return ways[voice % len(ways)].format(**parts)
