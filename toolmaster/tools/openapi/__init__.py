"""HTTP services with a Swagger 2.0, OpenAPI 3.0 or 3.1 document, as tools."""

from toolmaster.tools.openapi.credentials import Credentials
from toolmaster.tools.openapi.document import Document, load_document
from toolmaster.tools.openapi.operations import Operation
from toolmaster.tools.openapi.service import described, open_openapi

__all__ = ["Credentials", "Document", "Operation", "described", "load_document", "open_openapi"]
