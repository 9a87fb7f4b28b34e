import json
import random

import pytest

from toolmaster.errors import InputError
from toolmaster.tools import ToolRefusal
from toolmaster.world.openapi import Documents, _clause, guess, openapi_service


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
    assert add.clause == "add the pet to the shop"
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
        ("Deletes all the available keys", "delete the available keys"),
    ],
)
def test_a_summary_is_said_as_what_to_do(doc, said):
    assert _clause(doc, "POST", reads=False) == said


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


def test_a_document_with_nothing_to_simulate_is_refused(tmp_path):
    file = tmp_path / "empty.json"
    file.write_text(json.dumps({"openapi": "3.0.0", "paths": {}}))
    with pytest.raises(InputError, match="none of its 0 operations can be simulated"):
        openapi_service(file, "empty")
    file.write_text("{")
    with pytest.raises(InputError, match=r"empty\.json"):
        openapi_service(file, "empty")
    with pytest.raises(InputError, match="no OpenAPI document"):
        Documents(tmp_path / "nowhere")
