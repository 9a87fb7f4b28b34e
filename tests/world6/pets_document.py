"""A small OpenAPI document."""

ID = {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}
PET = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "weight": {"type": "number"}},
}
PETS = {
    "openapi": "3.0.0",
    "info": {"title": "Pets", "version": "1"},
    "paths": {
        "/pets": {
            "post": {
                "operationId": "addPet",
                "summary": "Adds a pet to the shop",
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["name", "kind"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "kind": {"type": "string", "enum": ["cat", "dog"]},
                                    "notify": {"type": "boolean", "default": False},
                                },
                            }
                        }
                    }
                },
                "responses": {"200": {"description": "ok"}},
            }
        },
        "/pets/{petId}": {
            "get": {
                "operationId": "getPet",
                "summary": "Get a pet",
                "parameters": [ID],
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}
                        },
                    }
                },
            },
            "delete": {
                "operationId": "deletePet",
                "summary": "Deletes a pet",
                "parameters": [ID],
                "responses": {"200": {"description": "ok"}},
            },
        },
    },
    "components": {"schemas": {"Pet": PET}},
}
