"""Cards as JSON lines: to read, to keep elsewhere, to give to others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from toolmaster.errors import first_problem
from toolmaster.experience.cards import Card
from toolmaster.experience.store import ExperienceStore

_LINE_CHARS = 50_000


def export_lines(store: ExperienceStore) -> Iterator[str]:
    """Every card as one line of JSON."""
    for card in store.cards():
        yield card.model_dump_json()


def import_lines(store: ExperienceStore, lines: Iterable[str]) -> tuple[int, list[str]]:
    """Take cards that `export_lines` wrote, or that anyone else did.

    A card from elsewhere never displaces one that is here, and its calls are never made again: a
    file cannot make this machine call anything.

    Args:
        store: where to.
        lines: one card each; empty lines are skipped.

    Returns:
        How many were taken, and for each line left out its number and why.
    """
    taken, left_out = 0, []
    for number, line in enumerate(lines, 1):
        if line.strip():
            why = _take(store, line)
            taken += why is None
            left_out += [f"line {number}: {why}"] if why else []
    return taken, left_out


def _take(store: ExperienceStore, line: str) -> str | None:
    """Take one card; why not, where it is left out."""
    if len(line) > _LINE_CHARS:
        return f"{len(line)} characters; a card has at most {_LINE_CHARS}"
    try:
        card = Card.model_validate_json(line)
    except ValidationError as error:
        where, problem = first_problem(error)
        return f"{where}: {problem}" if where else problem
    told = tuple(e.model_copy(update={"repeatable": False}) for e in card.evidence)
    return store.add(card.model_copy(update={"evidence": told}))
