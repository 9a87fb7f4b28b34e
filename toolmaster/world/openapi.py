"""A simulated service from any OpenAPI document: its names, summaries and parameters over a store.

An operation that reads answers values that depend on its arguments alone, or the record that an
earlier call created; one that writes keeps what it was given. What a value may be is guessed from
the name, the type and the format of its parameter.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tools import ToolRefusal
from toolmaster.tools.openapi.operations import Operation as Documented
from toolmaster.tools.openapi.operations import read_operations
from toolmaster.tools.openapi.parsing import parse_file
from toolmaster.tools.openapi.schemas import SchemaReader
from toolmaster.tools.schemas import as_object
from toolmaster.types import Effect
from toolmaster.world.service import Operation, Param, Service, State, computed, in_words, written
from toolmaster.world.values import Kind, data, enum_of, kind_of, list_of, number_of

SUFFIXES = (".json", ".yaml", ".yml")
MAX_FILE_BYTES = 400_000
"""The largest document that is simulated."""
MAX_PARAMS = 9
DOC_CHARS = 160
PARAM_DOC_CHARS = 110
MAX_DOC_SPACES = 18
HELD_OUT_PERCENT = 12
"""Percent of the providers, by a hash of the name, that only the test split has."""

_TECHNICAL = re.compile(
    r"api.?key|token|auth|secret|password|callback|signature|nonce|^x-|^accept|pretty|prettyprint"
    r"|^\$|quota.?user|user.?ip|^alt$|^fields$|cursor|etag|if-match|upload",
    re.IGNORECASE,
)
_GUESSES = data("openapi")
"""What names and types suggest."""
_NO_VERB = re.compile(
    r"(ed|ing|tion|ment|ity|er|or|ness|ance|ence|al|ic|ous|The|An|This|For|By|If)$"
)


class Documents:
    """The documents of a folder, each made into a service when it is first needed.

    Args:
        place: a document, or a folder of them; a file or folder directly in it is one provider.

    Attributes:
        facts: the number of documents of the folder that are left out, if there are any.

    Raises:
        InputError: there is no document, or none that can be used.
    """

    def __init__(self, place: Path) -> None:
        self._only = place.is_file()
        found = [place] if self._only else sorted(place.rglob("*"))
        found = [file for file in found if file.suffix in SUFFIXES and file.is_file()]
        if not found:
            raise InputError(f"{place}: there is no OpenAPI document ({', '.join(SUFFIXES)}) in it")
        files = [file for file in found if file.stat().st_size <= MAX_FILE_BYTES]
        large = f"{len(found) - len(files)} of more than {MAX_FILE_BYTES:,} bytes"
        if not files:
            raise InputError(f"{place}: too large to simulate: {large}")
        self.facts = {"left out": large} if len(files) < len(found) else {}
        self.providers: dict[str, list[Path]] = {}
        for file in files:
            inner = file.relative_to(place).parts
            provider = inner[0] if len(inner) > 1 else file.stem
            self.providers.setdefault(provider, []).append(file)
        self._made: dict[Path, Service | InputError] = {}
        each = ((name, file) for name, listed in self.providers.items() for file in listed)
        if not any(isinstance(self._service(*one), Service) for one in each):
            rest = "" if self._only else f"{place}: none of its documents can be used; "
            raise InputError(f"{rest}{self._made[files[0]]}")

    def names(self, split: str) -> list[str]:
        """Return the providers of a split; a single document has both."""
        return [
            name
            for name in sorted(self.providers)
            if self._only
            or (zlib.crc32(name.encode()) % 100 < HELD_OUT_PERCENT) == (split != "train")
        ]

    def draw(self, provider: str, rng: random.Random) -> Service | None:
        """Draw a service of a provider; None where the document cannot be used."""
        made = self._service(provider, rng.choice(self.providers[provider]))
        return made if isinstance(made, Service) else None

    def _service(self, provider: str, file: Path) -> Service | InputError:
        """Return the service of a document, or why it has none."""
        if file not in self._made:
            try:
                self._made[file] = openapi_service(file, provider)
            except InputError as error:
                self._made[file] = error
        return self._made[file]


def openapi_service(file: Path, name: str) -> Service:
    """Make a simulated service of an OpenAPI document.

    Args:
        file: a JSON or YAML file of OpenAPI 3 or Swagger 2.0.
        name: of the service.

    Raises:
        InputError: it cannot be read, or has nothing to simulate.
    """
    content = parse_file(file)
    if not isinstance(content.get("paths"), dict):
        raise InputError(f"{file}: it has no paths, so there is nothing to simulate")
    documented, _ = read_operations(content)
    about = str(as_object(content.get("info")).get("title") or name)
    reader = SchemaReader(content)
    made: dict[str, Operation] = {}
    for one in documented:
        operation = _operation(one, reader, content, name)
        if operation is not None:
            made.setdefault(operation.key, operation)
    if not made:
        raise InputError(f"{file}: none of its {len(documented)} operations can be simulated")
    return Service(name, about, "", made)


def _operation(
    one: Documented, reader: SchemaReader, content: Mapping[str, Any], service: str
) -> Operation | None:
    """Return a simulated operation; None where its words or required parameters cannot be used."""
    params = _params(one)
    if params is None:
        return None
    reads = one.method in ("GET", "HEAD", "OPTIONS")
    effect = Effect.DESTRUCTIVE if one.method == "DELETE" else Effect.WRITE
    parts = [in_words(part) for part in one.path.split("/") if not part.startswith("{")]
    noun = next(filter(None, reversed(parts)), "resource")
    raw = reader.peek(reader.peek(content["paths"][one.path])[one.method.lower()])
    asked = first_sentence(one.description)
    if " " not in asked or " /" in asked:
        asked = f"{_GUESSES['methods'][one.method]} {noun}".capitalize()
    doc = first_sentence(
        str(raw.get("description") or "")
    )  # says it in other words than the summary
    if not doc.isascii() or not 2 <= doc.count(" ") <= MAX_DOC_SPACES or " /" in doc:
        doc = asked
    texts = f"{asked} {doc}"
    if not texts.isascii() or asked.count(" ") > MAX_DOC_SPACES or "deprecated" in texts.lower():
        return None
    fields = _fields(one.name, raw, reader)
    answers = reads and bool(fields)  # else it is called for what it does, and says no more
    item = re.search(r"\{([^{}]+)\}/?$", one.path)
    place = (one.path[: item.start()] if item else one.path).rstrip("/") or "/"

    def run(state: State, arguments: dict[str, Any]) -> Any:
        table = state["records"].get(place, {})
        key = str(arguments.get(_clean(item[1]), "")) if item else ""
        if item and table.get(key, key) is None:
            raise ToolRefusal(f'no {noun} "{key}"')
        if answers:
            stored = table.get(key) or {}
            return {
                field: stored.get(field, computed(kind, f"{service} {one.name} {field}", arguments))
                for field, kind in fields.items()
            }
        if not item:
            key = computed(kind_of("code"), f"{service} {one.name}", arguments)
        done = written(state, one.name, key, arguments)
        if reads:
            return "ok"
        kept = None if one.method == "DELETE" else {**(table.get(key) or {}), **arguments}
        state["records"].setdefault(place, {})[key] = kept
        return {"status": "ok", **done} if item else {"id": key, **done}

    return Operation(
        key="_".join(in_words(one.name).split()[:5]) or "call",
        verb="call" if answers else "act",
        noun=noun,
        doc=doc,
        params=tuple(params),
        effect=Effect.READ if reads else effect,
        run=run,
        clause=clause_of(asked, one.method, reads=answers),
        answer=next(iter(fields)) if answers else "",
    )


def _params(one: Documented) -> list[Param] | None:
    """Return the parameters with the fields of a body; None where a required one cannot be."""
    found: dict[str, Param] = {}
    for name, schema, required in _flat(one.schema):
        clean = _clean(name)
        if _TECHNICAL.search(name) or clean in found:
            continue
        kind = guess(name, schema)
        if kind is None or not clean or not name.isascii() or len(name) > 40:
            if required:
                return None
            continue
        default = schema.get("default")
        if default == "" or not kind.accepts(default):
            default = None
        phrase = _named(name)[1] if kind.type == "string" and "enum" not in kind.schema else ""
        doc = first_sentence(str(schema.get("description", "")), PARAM_DOC_CHARS)
        found[clean] = Param(clean, kind, doc, required and default is None, default, phrase)
    kept = sorted(found.values(), key=lambda p: not p.required)
    if sum(param.required for param in kept) > MAX_PARAMS:
        return None
    return kept[:MAX_PARAMS]


def _flat(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    for name, one in schema.get("properties", {}).items():
        body = as_object(one) if name == "body" else {}
        if isinstance(body.get("properties"), dict):
            for key, value in body["properties"].items():
                yield key, as_object(value), key in body.get("required", ())
        elif isinstance(one, dict):
            yield name, one, name in schema.get("required", ())


def guess(name: str, schema: Mapping[str, Any]) -> Kind | None:
    """Return the kind of values of a parameter; None for an object or an unknown type."""
    options = schema.get("enum")
    type_ = schema.get("type")
    if isinstance(type_, list):
        type_ = next((one for one in type_ if one != "null"), None)
    if isinstance(options, list) and options:
        plain = [one for one in options if isinstance(one, str) and one.isascii() and one]
        return enum_of(tuple(dict.fromkeys(plain))[:12]) if plain else None
    if type_ == "boolean":
        return kind_of("boolean")
    if type_ in ("integer", "number"):
        low, high = _of_name("numbers", name)
        least, most = schema.get("minimum"), schema.get("maximum")
        if isinstance(least, int | float) and abs(least) < 10**9:
            low = int(least)
        if isinstance(most, int | float) and abs(most) < 10**9:
            high = int(most)
        return number_of(low, max(high, low + 1), whole=type_ == "integer")
    if type_ == "array":
        items = schema.get("items")
        item = guess(name, items) if isinstance(items, dict) else None
        return list_of(item) if item is not None and item.type != "array" else None
    if type_ != "string":
        return None
    kind = _GUESSES["formats"].get(str(schema.get("format"))) or _named(name)[0]
    if kind != "date" and not set(in_words(name).split()).isdisjoint(_GUESSES["counted"]):
        kind = "digits"
    unknown = _GUESSES["unknown"]
    return kind_of(kind or unknown[zlib.crc32(name.encode()) % len(unknown)])


def _clean(name: str) -> str:
    return in_words(name).replace(" ", "_")


def _named(name: str) -> tuple[str, str]:
    """Return the kind that a name suggests, and how a request gives it; "" for nothing."""
    return _of_name("named", name) or ("", "")


def _of_name(table: str, name: str) -> Any:
    """Return what stands in a table behind the first pattern that is found in a name."""
    found = (row for pattern, *row in _GUESSES[table] if re.search(pattern, name, re.IGNORECASE))
    return next(found, None)


def first_sentence(text: str, most: int = DOC_CHARS) -> str:
    """Return the first sentence of a text without markup."""
    bare = re.sub(r"<[^>]+>|\[([^\]]*)\]\([^)]*\)|[*`#{}]", r"\1", text)
    bare = " ".join(bare.split()).lstrip("> ")
    first = re.split(r"(?<=[a-z)])\.(?= |[A-Z][a-z])", bare, maxsplit=1)[0].rstrip(".")
    return first if len(first) <= most else first[:most].rsplit(" ", 1)[0]


def clause_of(doc: str, method: str, *, reads: bool) -> str:
    """Return what a request asks for: a noun phrase of what is read, or what is to be done."""
    first, _, rest = doc.partition(" ")
    rest = re.sub(r"^((a|an|all|the) )+", "the ", rest.strip(), flags=re.IGNORECASE)
    if reads:
        if first.lower() in _GUESSES["reads"] and rest:
            return rest if rest.startswith("the ") else f"the {rest}"
        return f"the {_lower(doc)}" if not first.endswith("s") else f"the result of {_lower(doc)}"
    imperative = re.fullmatch(r"[A-Z][a-z]+", first) and not _NO_VERB.search(first)
    if imperative and rest:
        verb = re.sub(r"(?<!s)s$", "", first.lower())  # "creates" is "create"
        if verb != first.lower():
            rest = re.sub(r"^((or|and) [a-z]+[^s ])s\b", r"\1", rest)
        if not rest.startswith(("or ", "and ")):
            same = (verb, *_GUESSES["synonyms"].get(verb, ()))
            verb = same[zlib.crc32(doc.encode()) % len(same)]
        return f"{verb} {rest}"
    return f"{_GUESSES['methods'][method]} {_lower(doc)}"


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[0].lower() + text[1:]


def _fields(name: str, raw: Mapping[str, Any], reader: SchemaReader) -> dict[str, Kind]:
    """Return up to four fields of a successful response of an operation."""
    responses = as_object(raw.get("responses"))
    response = reader.peek(next((v for k, v in responses.items() if str(k).startswith("2")), None))
    media = as_object(next(iter(as_object(response.get("content")).values()), None))
    schema = reader.peek(response.get("schema", media.get("schema")))
    if schema.get("type") == "array":
        schema = reader.peek(schema.get("items"))
    properties = as_object(schema.get("properties"))
    if len(properties) == 1:
        inner = reader.peek(*properties.values())
        properties = as_object(reader.peek(inner.get("items", inner)).get("properties", properties))
    found: dict[str, Kind] = {}
    for field, schema in properties.items():
        kind, clean = guess(field, reader.peek(schema)), _clean(field)
        if kind is None or not clean or not field.isascii():
            continue
        if kind.type in ("string", "integer", "number"):
            found[clean] = kind
    chosen = sorted(found)
    random.Random(name).shuffle(chosen)
    return {field: found[field] for field in sorted(chosen[:4])}
