import json
import random

import pytest

from toolmaster.errors import InputError
from toolmaster.tools import ToolRefusal
from toolmaster.world.openapi import Documents, clause_of, guess, openapi_service
from toolmaster.world.tasks import World


@pytest.fixture
def service(pets):
    return openapi_service(pets, "pets")


def test_operations_have_parameters_words_and_defaults(service):
    add = service.operations["add_pet"]
    assert [(p.name, p.required, p.default) for p in add.params] == [
        ("name", True, None),
        ("kind", True, None),
        ("notify", False, False),
    ]
    assert add.clause == "create the pet to the shop"  # another verb than the summary has
    assert service.operations["get_pet"].clause == "the pet"


def test_what_is_created_can_be_deleted_and_is_gone(service):
    state = service.seed_state(random.Random(1))
    get, delete = service.operations["get_pet"], service.operations["delete_pet"]
    seen = get.run(state, {"pet_id": 7})
    assert set(seen) == {"name", "weight"}
    assert seen == get.run(state, {"pet_id": 7})
    assert state == {"records": {}, "log": []}
    assert delete.run(state, {"pet_id": 7})["status"] == "ok"
    with pytest.raises(ToolRefusal, match='no pets "7"'):
        get.run(state, {"pet_id": 7})


def test_writes_are_in_the_log_with_what_they_were_given(service):
    state = service.seed_state(random.Random(1))
    add = service.operations["add_pet"]
    done = add.run(state, add.complete({"name": "Rex", "kind": "dog"}))
    assert done["notify"] is False
    assert state["log"] == [["addPet", done["id"], {"name": "Rex", "kind": "dog", "notify": False}]]


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("city", {"type": "string"}, "city"),
        ("created_at", {"type": "string", "format": "date"}, "date"),
        ("order", {"type": "string", "enum": ["asc", "desc"]}, "enum"),
        ("limit", {"type": "integer"}, "integer"),
        ("pageSize", {"type": "string"}, "digits"),
        ("userEmail", {"type": "string"}, "email"),
        ("tags", {"type": "array", "items": {"type": "string"}}, "list"),
    ],
)
def test_kinds_are_guessed_from_names_types_and_formats(name, schema, kind):
    assert guess(name, schema).name == kind


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        ("Creates or updates a key", "create or update a key"),
        ("Deletes all the available keys", "get rid of the available keys"),
    ],
)
def test_a_summary_is_said_as_what_to_do(doc, said):
    assert clause_of(doc, "POST", reads=False) == said


def test_the_documentation_says_it_in_other_words_than_the_request(tmp_path):
    told = {"summary": "Find rooms", "description": "Lists all free chambers of a house. More."}
    file = tmp_path / "house.json"
    file.write_text(json.dumps({"paths": {"/rooms": {"get": {**told, "operationId": "rooms"}}}}))
    rooms = openapi_service(file, "house").operations["rooms"]
    assert (rooms.doc, rooms.clause) == ("Lists all free chambers of a house", "find rooms")


def test_an_object_has_no_kind():
    assert guess("filter", {"type": "object"}) is None


def test_a_folder_holds_whole_providers_out(tmp_path, pets):
    for number in range(60):
        (tmp_path / f"shop{number}.json").write_text(pets.read_text())
    documents = Documents(tmp_path)
    train, test = documents.names("train"), documents.names("test")
    assert len(train) + len(test) == 60
    assert 0 < len(test) < 20
    assert not set(train) & set(test)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"bad.json": '{"openapi": "3.0.0", "paths": {}}'}, "none of its 0 operations can be"),
        ({"bad.json": "{"}, r"none of its documents can be used; .*bad\.json: not valid JSON"),
        ({"notes.txt": "{}"}, r"there is no OpenAPI document \(\.json, \.yaml, \.yml\) in it"),
        ({"big.json": " " * 400_001}, "too large to simulate: 1 of more than 400,000 bytes"),
    ],
)
def test_documents_that_cannot_be_used(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        Documents(tmp_path)
    if tmp_path.joinpath("bad.json").exists():
        with pytest.raises(InputError, match=r"bad\.json: n"):
            Documents(tmp_path / "bad.json")


def test_a_folder_has_documents_in_yaml_and_leaves_out_large_ones(tmp_path):
    (tmp_path / "clocks.yaml").write_text(
        "paths: {/times: {get: {summary: Get the time, parameters: [{name: city, in: query,"
        " schema: {type: string}}], responses: {}}}}"
    )
    (tmp_path / "shop.json").write_text(" " * 400_001)
    documents = Documents(tmp_path)
    assert list(documents.providers) == ["clocks"]
    assert documents.draw("clocks", random.Random(1)) is not None
    assert documents.facts == {"left out": "1 of more than 400,000 bytes"}


@pytest.mark.parametrize("info", [None, "pets", {}, {"title": None}, {"title": "pets"}])
def test_tasks_of_odd_documents(tmp_path, info):
    """Braces in texts, a title that is none, and records at the root."""
    key = {"name": "{}", "in": "query", "schema": {"type": "string"}}
    id_ = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    age = {"name": "age", "in": "query", "required": True, "schema": {"type": "integer"}}
    operation = {"parameters": [id_, age, key], "responses": {}}
    file = tmp_path / "pets.json"
    paths = {
        "/{id}": {
            "delete": {**operation, "summary": "Delete {} a {y} pet"},
            "put": {**operation, "summary": "Replace a pet} with { another"},
        }
    }
    file.write_text(json.dumps({"info": info, "paths": paths}))
    world = World(Documents(file))
    drawn = [world.draw(world.id_of("train", number)) for number in range(40)]
    assert {one.service.about for one in drawn} == {"pets"}
    assert not any("{" in view.operation.doc for one in drawn for view in one.views)
