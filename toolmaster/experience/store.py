"""`ExperienceStore`: cards in one SQLite file, shared by any number of processes and sessions.

Every operation opens the file, does one transaction and closes it, so nothing is held between two
of them. A card is kept by source, tool, schema and lesson: renaming a source or changing a schema
makes another tool of it, unknown again.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.experience.cards import Card, schema_hash
from toolmaster.tools import Tool

HANDED_CHARS = 2000
"""Characters of all lines handed out at once."""
FAILURES = 2
"""A card is stale after this many failed tasks in a row, or one where it never helped."""
_APPLICATION = 0x746D6578  # "tmex": tells our files from other people's
_VERSION = 1
_WAIT_S = 20.0
_FIELDS = tuple(Card.model_fields)
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)
_TABLE = f"CREATE TABLE IF NOT EXISTS cards (id TEXT PRIMARY KEY, {_COLUMNS})"


def default_path() -> Path:
    """`TOOLMASTER_EXPERIENCE`, or else a file in the user's own folder."""
    usual = Path.home() / ".local" / "share" / "toolmaster" / "experience.db"
    return Path(os.environ.get("TOOLMASTER_EXPERIENCE") or usual)


class ExperienceStore:
    """The cards in one file.

    Args:
        path: an SQLite file, created with its folder if missing, readable by its owner alone.

    Raises:
        InputError: the file is damaged, is something else, or cannot be opened. Every method
            raises it for a file that became so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            raise InputError(f"cannot keep experience in {path}: {error.strerror}") from None
        with self._open() as db:
            known = self._recognise(db)
        if not known:
            with self._open(write=True) as db:
                if not self._recognise(db):  # nobody else has made it meanwhile
                    db.execute(_TABLE)
                    db.execute(f"PRAGMA application_id={_APPLICATION}")
                    db.execute(f"PRAGMA user_version={_VERSION}")

    def _recognise(self, db: sqlite3.Connection) -> bool:
        """Whether the file is ours already; False where it is empty."""
        found = _marks(db)
        if found == (0, 0) and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return False
        if found[0] != _APPLICATION:
            raise InputError(f"{self.path} is a database of something else; name another file")
        if found[1] != _VERSION:
            raise InputError(
                f"{self.path} has experience of version {found[1]}; this toolmaster reads version"
                f" {_VERSION}: export it with the one that wrote it, and import that"
            )
        return True

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, undone where it is left by an exception."""
        try:
            with closing(sqlite3.connect(self.path, _WAIT_S, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path} cannot be used for experience: {error}; move it away to begin anew,"
                " or name another file"
            ) from None

    def cards(self) -> list[Card]:
        """All cards, stale ones too, by source and tool, the latest first."""
        with self._open() as db:
            rows = db.execute('SELECT * FROM cards ORDER BY source, tool, "when" DESC').fetchall()
        return [self._card(row) for row in rows]

    def find(self, what: str) -> list[Card]:
        """The cards of a tool's name, or the card of an id."""
        with self._open() as db:
            rows = db.execute("SELECT * FROM cards WHERE tool = ? OR id = ?", (what, what))
            return [self._card(row) for row in rows]

    def best(self, tools: Sequence[Tool]) -> list[Card]:
        """The card to go by for each tool that has one, in the tools' order.

        Cards of the same tool of a named source under another schema are stale from now on.
        """
        with self._open() as db:
            seen = [(tool, schema_hash(tool), self._of(db, tool)) for tool in tools]
        chosen = []
        for tool, now, cards in seen:
            for card in cards:
                if tool.source and card.schema_hash != now:
                    self.mark_stale(card, "the tool's schema changed")
            same = [card for card in cards if card.schema_hash == now]
            if same:
                chosen.append(max(same, key=lambda card: (card.helped, card.learned, card.when)))
        return chosen

    def _of(self, db: sqlite3.Connection, tool: Tool) -> list[Card]:
        """The cards of a tool that are not stale, of any schema."""
        rows = db.execute(
            "SELECT * FROM cards WHERE source = ? AND tool = ? AND stale IS NULL",
            (tool.source, tool.name),
        )
        return [self._card(row) for row in rows]

    def put(self, card: Card) -> Card:
        """Take what a new trial taught.

        The same lesson again counts on its card, which is fresh again; other lessons about the
        same tool are contradicted and stale from now on.

        Returns:
            The card as it is kept.
        """
        with self._open(write=True) as db:
            _contradict(db, card)
            row = db.execute("SELECT * FROM cards WHERE id = ?", (card.id,)).fetchone()
            if row is not None:
                before = self._card(row)
                counts = {"handed": before.handed, "helped": before.helped}
                again = {"learned": before.learned + 1, "lesson": before.lesson}
                card = card.model_copy(update=counts | again)
            _write(db, card)
        return card

    def add(self, card: Card) -> str | None:
        """Take a card from elsewhere; it displaces none.

        Returns:
            Why it was left out; None where it was taken.
        """
        with self._open(write=True) as db:
            rival = "source = ? AND tool = ? AND schema_hash = ? AND stale IS NULL"
            key = (card.id, card.source, card.tool, card.schema_hash)
            query = f"SELECT 1 FROM cards WHERE id = ? OR ({rival})"  # noqa: S608 - our own text
            if db.execute(query, key).fetchone():
                return "a card for this tool is already here"
            _write(db, card)
        return None

    def count_handed(self, cards: Iterable[Card]) -> None:
        """Count that cards were handed to a task."""
        self._count(cards, "handed = handed + 1, unchecked = unchecked + 1")

    def count_helped(self, card: Card) -> None:
        """Count that a card was handed and its task went well."""
        self._count([card], "helped = helped + 1, failed = 0")

    def count_checked(self, card: Card) -> None:
        """Note that a card was checked and still holds."""
        self._count([card], "unchecked = 0")

    def count_failed(self, card: Card, why: str) -> None:
        """Count a task that failed with a card: it is doubted, or stale where that is enough."""
        self._count([card], "failed = failed + 1")
        for now in self.find(card.id):
            if now.failed >= FAILURES or not now.helped or now.check is None:
                self.mark_stale(now, why)

    def mark_stale(self, card: Card, why: str) -> None:
        """Hand a card out no more, unless a new trial teaches the same again."""
        stale = card.model_copy(update={"stale": why})
        reason = Card.model_validate(stale.model_dump()).stale  # made one line
        with self._open(write=True) as db:
            db.execute(
                "UPDATE cards SET stale = ? WHERE id = ? AND stale IS NULL", (reason, card.id)
            )

    def forget(self, cards: Iterable[Card]) -> int:
        """Remove cards; returns how many there were."""
        with self._open(write=True) as db:
            ids = [(card.id,) for card in cards]
            return db.executemany("DELETE FROM cards WHERE id = ?", ids).rowcount if ids else 0

    def _count(self, cards: Iterable[Card], change: str) -> None:
        with self._open(write=True) as db:
            db.executemany(
                f"UPDATE cards SET {change} WHERE id = ?",  # noqa: S608 - our own text
                [(card.id,) for card in cards],
            )

    def _card(self, row: sqlite3.Row) -> Card:
        try:
            fields: dict[str, Any] = {name: row[name] for name in _FIELDS}
            return Card.model_validate({**fields, "evidence": json.loads(row["evidence"])})
        except (ValidationError, ValueError, TypeError, IndexError) as error:
            problem = ": ".join(first_problem(error)) if isinstance(error, ValidationError) else ""
            raise InputError(
                f"{self.path}: a card in it is damaged ({problem or error}); move the file away to"
                " begin anew, or name another file"
            ) from None


def fitting(cards: Sequence[Card]) -> list[Card]:
    """Those of the cards whose lines fit into `HANDED_CHARS`, in order."""
    chosen, room = [], HANDED_CHARS
    for card in cards:
        needed = len(card.line()) + 1
        if needed <= room:
            chosen.append(card)
            room -= needed
    return chosen


def _marks(db: sqlite3.Connection) -> tuple[int, int]:
    application, version = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    return application, version


def _contradict(db: sqlite3.Connection, card: Card) -> None:
    """Make the other lessons about this very tool stale."""
    db.execute(
        "UPDATE cards SET stale = ? WHERE source = ? AND tool = ? AND schema_hash = ?"
        " AND id <> ? AND stale IS NULL",
        ("a later trial taught otherwise", card.source, card.tool, card.schema_hash, card.id),
    )


def _write(db: sqlite3.Connection, card: Card) -> None:
    fields = card.model_dump(mode="json")
    fields["evidence"] = json.dumps(fields["evidence"], ensure_ascii=False)
    marks = ", ".join("?" * (len(_FIELDS) + 1))
    names = ", ".join(f'"{name}"' for name in ("id", *_FIELDS))
    db.execute(
        f"INSERT OR REPLACE INTO cards ({names}) VALUES ({marks})",  # noqa: S608 - our own names
        (card.id, *(fields[name] for name in _FIELDS)),
    )
