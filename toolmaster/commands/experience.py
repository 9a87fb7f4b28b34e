"""`toolmaster experience`: look at what was learned of tools, forget it, take it elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from toolmaster.experience import Card, ExperienceStore

app = typer.Typer(
    help="What was learned of tools: list, show, forget, export, import.", no_args_is_help=True
)
StoreFile = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads this annotation
    typer.Option("--store", help="The experience file; the user's own by default"),
]
What = Annotated[str, typer.Argument(help="A tool's name, or the id of a card")]


def _store(path: Path | None, *, new: bool = False) -> ExperienceStore:
    from toolmaster.errors import InputError  # noqa: PLC0415
    from toolmaster.experience import ExperienceStore, default_path  # noqa: PLC0415

    path = path or default_path()
    if not new and not path.exists():
        raise InputError(f"there is no experience in {path} yet; name another file with --store")
    return ExperienceStore(path)


def _find(store: ExperienceStore, what: str) -> list[Card]:
    from toolmaster.errors import InputError  # noqa: PLC0415

    found = store.find(what)
    if not found:
        raise InputError(
            f"no card and no tool is called {what!r}; see `toolmaster experience list`"
        )
    return found


@app.command("list")
def list_cards(store: StoreFile = None) -> None:
    """List all cards by source, a line each."""
    from itertools import groupby  # noqa: PLC0415

    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from toolmaster.experience.cards import one_line  # noqa: PLC0415
    from toolmaster.progress import console  # noqa: PLC0415

    for source, cards in groupby(_store(store).cards(), key=lambda card: card.source):
        console.print(Text(one_line(source, 300) or "no source named", "bold"), soft_wrap=True)
        table = Table(box=None)
        table.add_column("id", no_wrap=True)
        for column in ("tool", "lesson"):
            table.add_column(column, overflow="fold")
        for column in ("learned", "handed", "helped"):
            table.add_column(column, justify="right", no_wrap=True)
        for card in cards:
            lesson = card.lesson + (f" [stale: {card.stale}]" if card.stale else "")
            words = (card.id, card.tool, lesson, card.learned, card.handed, card.helped)
            table.add_row(*(Text(one_line(str(word), 600)) for word in words))
        console.print(table)


@app.command()
def show(what: What, store: StoreFile = None) -> None:
    """Show the cards of a tool, with the calls that showed it."""
    from toolmaster.experience.cards import one_line  # noqa: PLC0415

    for card in _find(_store(store), what):
        typer.echo(f"{card.id}  {card.line()}")
        typer.echo(f"  source   {one_line(card.source, 300) or 'not named'}")
        typer.echo(f"  schema   {card.schema_hash}")
        typer.echo(f"  learned  {card.learned} times, last {card.when} by {card.policy}")
        typer.echo(f"  handed   {card.handed} times, helped {card.helped} times")
        typer.echo(f"  state    {'stale: ' + card.stale if card.stale else 'fresh'}")
        for seen in card.evidence:
            call = one_line(f"{seen.name} {json.dumps(seen.arguments, ensure_ascii=False)}", 400)
            typer.echo(f"  showed   {call} -> {seen.observation}")


@app.command()
def forget(
    what: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this annotation
        typer.Argument(help="A tool's name, or the id of a card"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget every card")] = False,
    store: StoreFile = None,
) -> None:
    """Remove the cards of a tool, one card, or all."""
    if (what is None) != everything:
        raise typer.BadParameter("name a tool or a card, or say --all")
    kept = _store(store)
    count = kept.forget(kept.cards() if what is None else _find(kept, what))
    typer.echo(f"forgot {count} card{'s' * (count != 1)}")


@app.command("export")
def export_cards(
    file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this annotation
        typer.Argument(help="Where to; the terminal by default"),
    ] = None,
    store: StoreFile = None,
) -> None:
    """Write all cards as JSON lines."""
    from toolmaster.experience.exchange import export_lines  # noqa: PLC0415
    from toolmaster.runs import write_atomically  # noqa: PLC0415

    text = "".join(f"{line}\n" for line in export_lines(_store(store)))
    if file is None:
        sys.stdout.write(text)
    else:
        write_atomically(file, text)


@app.command("import")
def import_cards(
    file: Annotated[Path, typer.Argument(help="JSON lines, as export writes them")],
    store: StoreFile = None,
) -> None:
    """Add cards from a file; none replaces one that is here."""
    from toolmaster.errors import InputError  # noqa: PLC0415
    from toolmaster.experience.exchange import import_lines  # noqa: PLC0415

    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read {file}: {reason}") from None
    taken, left_out = import_lines(_store(store, new=True), lines)
    typer.echo(f"{taken} taken, {len(left_out)} left out")
    for why in left_out:
        typer.echo(f"  {why}", err=True)
