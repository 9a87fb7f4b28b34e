"""`ExperienceStore`: lessons in one JSON-lines file, shared by any number of processes.

The file can be read, edited, copied and given to others. A change holds a lock and replaces the
whole file at once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.experience.lesson import Lesson, schema_hash, utc_now
from toolmaster.runs import locked, write_records
from toolmaster.tools import Tool

MAX_BYTES = 64 * 2**20
"""The largest file of lessons that is read: some hundred thousand lessons."""


def default_path() -> Path:
    """Return the path in `TOOLMASTER_EXPERIENCE`, or else one in the user's data folder."""
    usual = Path.home() / ".local" / "share" / "toolmaster" / "experience.jsonl"
    return Path(os.environ.get("TOOLMASTER_EXPERIENCE") or usual)


class ExperienceStore:
    """The lessons in one file.

    Args:
        path: a JSON-lines file; it is created with its folder if it is missing, and only its owner
            can read it.

    Raises:
        InputError: the file cannot be opened, or a line of it is not a lesson. Every method raises
            this error if the file is damaged later.

    Example:
        >>> store = ExperienceStore(Path("lessons.jsonl"))  # doctest: +SKIP
        >>> [lesson.line() for lesson in store.find("get_price")]  # doctest: +SKIP
        ['get_price: divide the result by 100']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            raise InputError(f"cannot keep experience in {path}: {error.strerror}") from None
        self._read()

    def lessons(self) -> list[Lesson]:
        """Return all lessons, stale ones too, by source and tool, the latest first."""
        latest_first = sorted(self._read(), key=lambda lesson: lesson.when, reverse=True)
        return sorted(latest_first, key=lambda lesson: (lesson.source, lesson.tool))

    def find(self, what: str) -> list[Lesson]:
        """Return the lessons about a tool of this name, or the lesson with this id."""
        return [lesson for lesson in self.lessons() if what in (lesson.tool, lesson.id)]

    def fresh(self, tools: Iterable[Tool]) -> list[Lesson]:
        """Return the lessons that are not stale, at most one per tool, in order of the tools."""
        known = {lesson.key: lesson for lesson in self._read() if lesson.stale is None}
        keys = ((tool.name, schema_hash(tool)) for tool in tools)
        return [known[key] for key in keys if key in known]

    def learn(self, lesson: Lesson) -> None:
        """Store a lesson of a new trial; other lessons about the same tool become stale.

        A tool that comes from the same place with another schema is still the same tool.
        """
        with self.edit() as lessons:
            for other in lessons.values():
                same_place = lesson.source and lesson.source == other.source
                if other.key == lesson.key or (same_place and other.tool == lesson.tool):
                    other.stale = other.stale or "a later trial taught otherwise"
            before = lessons.get(lesson.id, lesson)
            counts = {"retrieved": before.retrieved, "helped": before.helped}
            lessons[lesson.id] = lesson.model_copy(update={"text": before.text, **counts})

    def judge(self, right: bool) -> list[Lesson]:
        """Count the user's verdict on the last task; returns the lessons that it taught or used.

        The result is empty if the last task used no lesson, or has a verdict already.
        """
        with self.edit() as lessons:
            last = max((lesson.awaits for lesson in lessons.values()), default="")
            judged = [lesson for lesson in lessons.values() if last and lesson.awaits == last]
            for lesson in judged:
                lesson.judge(right)
        return judged

    def exported(self, who: str) -> list[Lesson]:
        """Return the lessons that are not stale, for other people: without sources and counts.

        Args:
            who: the person who exports; lessons that came from others keep their names.
        """
        shared = {"source", "awaits", "retrieved", "helped", "failed"}
        lessons = (one for one in self.lessons() if one.stale is None)
        return [
            Lesson.model_validate(
                one.model_dump(exclude=shared) | {"who": one.who or who or "unknown"}
            )
            for one in lessons
        ]

    def import_from(self, path: Path) -> list[Lesson]:
        """Store the exported lessons of a file; returns those that were new.

        Lessons that are known here, stale or not, and lessons about a tool for which a later one is
        known, are not stored.

        Args:
            path: a file of lessons.

        Raises:
            InputError: the file is missing, or a line of it is not a lesson; nothing is stored.
        """
        if not path.is_file():
            raise InputError(f"there is no file of lessons {str(path)!r}")
        added = []
        for lesson in ExperienceStore(path).exported(""):
            lesson.when = min(lesson.when, utc_now())
            about = (k for k in self.find(lesson.tool) if k.key == lesson.key)
            if all(k.when < lesson.when and k.id != lesson.id for k in about):
                self.learn(lesson)
                added.append(lesson)
        return added

    def forget(self, forgotten: Iterable[Lesson]) -> int:
        """Remove lessons; return how many were there."""
        with self.edit() as lessons:
            return sum(lessons.pop(lesson.id, None) is not None for lesson in forgotten)

    @contextmanager
    def edit(self) -> Iterator[dict[str, Lesson]]:
        """Yield all lessons by id, to be changed in place; they are saved at the end."""
        try:
            lock = self.path.with_name(f"{self.path.name}.lock").open("ab")
        except OSError as error:
            raise InputError(f"cannot keep experience in {self.path}: {error.strerror}") from None
        with lock, locked(lock):
            lessons = {lesson.id: lesson for lesson in self._read()}
            yield lessons
            write_records(self.path, lessons.values())

    def _read(self) -> list[Lesson]:
        number = 0
        lessons = []
        try:
            about = self.path.stat()
            endless = not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode))
            if endless or about.st_size > MAX_BYTES:
                raise InputError(
                    f"{self.path} is no file of at most {MAX_BYTES >> 20} MiB; name another file"
                )
            for number, line in enumerate(self.path.read_bytes().split(b"\n"), 1):  # noqa: B007
                lessons += [_parse(line.decode())] if line else []
        except OSError as error:
            raise InputError(f"cannot read experience in {self.path}: {error.strerror}") from None
        except ValueError as error:
            raise InputError(
                f"{self.path}, line {number}, is not a lesson: {error}; repair the line, move the"
                " file away to begin anew, or name another file"
            ) from None
        return lessons


def _parse(line: str) -> Lesson:
    """Read a lesson from a line of JSON.

    Raises:
        ValueError: the line is not a lesson.
    """
    try:
        return Lesson.model_validate_json(line)
    except ValidationError as error:
        raise ValueError(": ".join(filter(None, first_problem(error)))) from None
