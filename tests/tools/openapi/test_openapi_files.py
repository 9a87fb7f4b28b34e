"""Documents in several files: what lies around a document is read, and nothing else."""

import json

import pytest
import yaml

from toolmaster.tools.openapi import load_document

BODY = "application/json"


def operation(schema):
    content = {BODY: {"schema": schema}}
    return {"post": {"operationId": "add", "requestBody": {"required": True, "content": content}}}


@pytest.fixture
def load_files(tmp_path):
    """A function: files by their names, of which `api/api.json` is loaded."""

    def run(files, paths):
        whole = {"openapi": "3.0.3", "servers": [{"url": "http://h"}], "paths": paths}
        for name, content in {**files, "api.json": whole}.items():
            path = tmp_path / "api" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            dump = json.dumps if name.endswith(".json") else yaml.safe_dump
            path.write_text(dump(content))
        return load_document(tmp_path / "api" / "api.json")

    return run


NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize("reference", ["./pets.yaml#/Pet", "pets.yaml#/Pet", "pets.yaml#/All/0"])
def test_a_schema_in_another_file(load_files, caplog, reference):
    files = {"pets.yaml": {"Pet": NAMED, "All": [NAMED]}}
    document = load_files(files, {"/a": operation({"$ref": reference})})
    assert document.operations[0].schema["properties"]["body"] == NAMED
    assert caplog.text == ""


def test_references_between_files(load_files, caplog):
    pet = {
        "type": "object",
        "properties": {
            "tag": {"$ref": "../common/tag of a pet.json"},
            "owner": {"$ref": "#/Owner"},
            "friend": {"$ref": "pet.yaml#/Pet"},
            "root": {"$ref": "../api.json#/x-schema"},
        },
    }
    files = {
        "schemas/pet.yaml": {"Pet": pet, "Owner": {"type": "string"}},
        "common/tag of a pet.json": {"type": "integer"},
        "paths/a.yaml": operation({"$ref": "../schemas/pet.yaml#/Pet"}),
    }
    document = load_files(files, {"/a": {"$ref": "paths/a.yaml"}})
    body = document.operations[0].schema["properties"]["body"]["properties"]
    assert (body["tag"], body["owner"]) == ({"type": "integer"}, {"type": "string"})
    assert body["friend"] == {"description": "another Pet"}
    assert "names nothing" in body["root"]["description"]
    assert caplog.text == ""


def test_parameters_in_another_file(load_files):
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer"}}
    paths = {"/a": {"get": {"parameters": [{"$ref": "parts.json#/limit"}]}}}
    document = load_files({"parts.json": {"limit": limit}}, paths)
    assert document.operations[0].schema["properties"] == {"limit": {"type": "integer"}}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("none.yaml#/Pet", "cannot be read: no such file"),
        ("broken.json", "cannot be read: broken.json: not valid JSON"),
        ("folder", "cannot be read: no such file"),
        ("../secret.json#/Pet", "outside the folder"),
        ("link.json#/Pet", "outside the folder"),
        ("SECRET#/Pet", "outside the folder"),
        ("http://127.0.0.1:9/pets.yaml#/Pet", "is in another document; bundle them"),
        ("//127.0.0.1:9/pets.yaml#/Pet", "is in another document; bundle them"),
    ],
)
def test_what_is_not_read_is_named(load_files, caplog, tmp_path, reference, reason):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"Pet": {"description": "hush-hush"}}))
    (tmp_path / "api" / "folder").mkdir(parents=True)
    (tmp_path / "api" / "broken.json").write_text("{")
    (tmp_path / "api" / "link.json").symlink_to(secret)
    reference = reference.replace("SECRET", str(secret))
    document = load_files({}, {"/a": operation({"$ref": reference})})
    body = document.operations[0].schema["properties"]["body"]
    assert list(body) == ["description"]
    assert "hush-hush" not in body["description"]
    assert "1 parts are unknown and take any value" in caplog.text
    assert reason in caplog.text
    assert reference in caplog.text
