"""HTTP services that describe themselves: Swagger 2.0, OpenAPI 3.0 and 3.1 as tools."""

from toolmaster.tools.openapi.credentials import Credentials
from toolmaster.tools.openapi.document import Document, load_document
from toolmaster.tools.openapi.operation import Operation
from toolmaster.tools.openapi.service import described, open_openapi
from toolmaster.tools.openapi.spec import Note

__all__ = [
    "Credentials",
    "Document",
    "Note",
    "Operation",
    "described",
    "load_document",
    "open_openapi",
]
