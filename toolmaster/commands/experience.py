"""`toolmaster experience`: look at what was learned of tools, forget it, take it elsewhere."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from toolmaster.commands.options import Json
from toolmaster.errors import ConfigError, InputError
from toolmaster.experience import Card, ExperienceStore, default_path
from toolmaster.experience.cards import one_line
from toolmaster.experience.exchange import export_lines, import_lines
from toolmaster.progress import console

app = App(name="experience", default_parameter=Parameter(negative=()))
Store = Annotated[
    Path | None, Parameter(name="--store", help="Experience file; the user's own by default.")
]


def _store(path: Path | None, *, new: bool = False) -> ExperienceStore:
    path = path or default_path()
    if not new and not path.exists():
        raise InputError(f"there is no experience in {path} yet; name another file with --store")
    return ExperienceStore(path)


def _find(store: ExperienceStore, what: str) -> list[Card]:
    found = store.find(what)
    if not found:
        raise InputError(
            f"no card and no tool is called {what!r}; see `toolmaster experience list`"
        )
    return found


@app.command(name="list")
def list_cards(*, store: Store = None, as_json: Json = False) -> None:
    """List all cards by source, one per line."""
    if as_json:
        sys.stdout.writelines(f"{line}\n" for line in export_lines(_store(store)))
        return
    for source, cards in groupby(_store(store).cards(), key=lambda card: card.source):
        console.print(Text(one_line(source, 300) or "no source named", "bold"), soft_wrap=True)
        table = Table(box=None)
        table.add_column("id", no_wrap=True)
        for column in ("tool", "lesson"):
            table.add_column(column, overflow="fold")
        for column in ("learned", "handed", "helped"):
            table.add_column(column, justify="right", overflow="fold")
        for card in cards:
            lesson = card.lesson + (f" [stale: {card.stale}]" if card.stale else "")
            words = (card.id, card.tool, lesson, card.learned, card.handed, card.helped)
            table.add_row(*(Text(one_line(str(word), 600)) for word in words))
        console.print(table)


@app.command
def show(what: str, /, *, store: Store = None) -> None:
    """Show the cards of a tool, with the calls that showed it.

    Args:
        what: Name of a tool, or id of a card.
    """
    for card in _find(_store(store), what):
        print(f"{card.id}  {card.line()}")
        print(f"  source   {one_line(card.source, 300) or 'not named'}")
        print(f"  schema   {card.schema_hash}")
        print(f"  learned  {card.learned} times, last {card.when} by {card.policy}")
        print(f"  handed   {card.handed} times, helped {card.helped} times")
        print(f"  state    {'stale: ' + card.stale if card.stale else 'fresh'}")
        for seen in card.evidence:
            call = one_line(f"{seen.name} {json.dumps(seen.arguments, ensure_ascii=False)}", 400)
            print(f"  showed   {call} -> {seen.observation}")


@app.command
def forget(
    what: str | None = None,
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all", show_default=False)] = False,
    store: Store = None,
) -> None:
    """Remove the cards of a tool, one card, or all.

    Args:
        what: Name of a tool, or id of a card.
        everything: Forget every card.
    """
    if (what is None) != everything:
        raise ConfigError("name a tool or a card, or give --all")
    kept = _store(store)
    count = kept.forget(kept.cards() if what is None else _find(kept, what))
    print(f"forgot {count} card{'s' * (count != 1)}")


@app.command(name="import")
def import_cards(file: Path, /, *, store: Store = None) -> None:
    """Add cards from a file; none replaces one that is already there.

    Args:
        file: JSON lines, as `list --json` prints them.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read {file}: {reason}") from None
    taken, left_out = import_lines(_store(store, new=True), lines)
    print(f"{taken} taken, {len(left_out)} left out")
    for why in left_out:
        print(f"  {why}", file=sys.stderr)
