"""What is hidden where: everything in errors and logs, secrets in observations."""

import logging
import shlex
from urllib.parse import quote

import pytest

from toolmaster.tools.mcp.redaction import Redactor, redacted_logs
from toolmaster.tools.mcp.servers import McpServer


def redactor(**settings):
    server = McpServer(**settings)
    return Redactor(server, server.resolve())


@pytest.mark.parametrize(
    "name",
    ["API_KEY", "apiKey", "GITHUB_TOKEN", "accessToken", "DB_PASSWORD", "PGPASSWORD", "MY_PAT"],
)
def test_secrets_by_their_names(name):
    hide = redactor(command="x", env={name: "abcd"})
    assert hide.observation("it is abcd!") == f"it is [{name}]!"
    assert hide.error("it is abcd!") == f"it is [{name}]!"


@pytest.mark.parametrize("name", ["HOME", "PATH", "AUTHOR", "KEYBOARD", "MAX_TOKENS", "MONKEY"])
def test_plain_values_are_hidden_in_errors_only(name):
    hide = redactor(command="x", env={name: "/data"})
    assert hide.observation("in /data/x") == "in /data/x"
    assert hide.error("in /data/x") == f"in [{name}]/x"


@pytest.mark.parametrize(
    "args",
    [("--api-key", "abcd"), ("--api-key=abcd",), ("-H", "X-Api-Key: abcd"), ("TOKEN=abcd",)],
)
def test_secrets_among_the_arguments(args):
    hide = redactor(command="run", args=args)
    assert "abcd" not in hide.shown
    assert "abcd" not in hide.observation("abcd")


@pytest.mark.parametrize(
    ("args", "secret"),
    [
        (("-y", "server-postgres", "postgresql://admin:s3cretpw@localhost/db"), "s3cretpw"),
        (("--db=postgresql://admin:s3[cret@localhost/db",), "s3[cret"),
        (("mcp-remote", "https://h/sse?api_key=sk-12345678"), "sk-12345678"),
        (("--url=https://h/sse?a=b&api_key=sk%2F12345678",), "sk/12345678"),
        (("--from", "git+https://ghp_12345678@github.com/o/r"), "ghp_12345678"),
        (("run", "--env=GITHUB_TOKEN=ghp_12345678"), "ghp_12345678"),
        (("--header=Authorization: Bearer abc.def",), "abc.def"),
        (("--header", "Authorization:Bearer abc.def"), "abc.def"),
        (("--api-key", "it's-secret"), "it's-secret"),
        (("--config", '{"apiKey": "sk-12345678"}'), "sk-12345678"),
        (("Server=h;User Id=sa;Password=hunter2;Database=x",), "hunter2"),
        (("--token", "first-one", "--token", "other-one"), "first-one"),
    ],
)
def test_secrets_inside_arguments(args, secret):
    hide = redactor(command="run", args=args)
    assert secret not in hide.shown
    assert quote(secret, safe="") not in hide.shown
    assert "s-secret" not in hide.shown
    assert secret not in hide.observation(f"cannot use {secret}!")
    assert secret not in hide.error(f"cannot use {secret}!")


def test_arguments_without_secrets_stay():
    args = ("-y", "pkg@1.2", "--mode=a=b", "postgres://reader@localhost/db", "C:/x", "a: b c=d")
    hide = redactor(command="run", args=args)
    assert hide.shown == "run " + shlex.join(args)
    text = "reader at localhost: a, b, d"
    assert hide.observation(text) == text


def test_what_was_run_is_shown_as_it_was_written(monkeypatch):
    monkeypatch.setenv("FOLDER", "/data")
    monkeypatch.setenv("TOKEN", "abcd")
    hide = redactor(command="run", args=("${FOLDER}", "a b", "${TOKEN}"))
    assert hide.shown == "run '${FOLDER}' 'a b' '${TOKEN}'"
    assert hide.observation("/data abcd") == "/data [TOKEN]"
    assert hide.error("/data abcd") == "[FOLDER] [TOKEN]"


def test_addresses():
    url = "https://me:pass-word@host:8000/api/0123456789abcdef0123/mcp?key=abcd"
    hide = redactor(url=url, headers={"Authorization": "Bearer abc.def", "Accept": "text/html"})
    assert hide.shown == "https://host:8000/api/.../mcp"
    assert hide.error(f"GET {url} failed") == "GET https://host:8000/api/.../mcp failed"
    assert hide.observation("pass-word") == "[password]"
    assert hide.observation("GET /mcp?key=abcd") == "GET /mcp?key=[key]"
    assert hide.observation("Bearer abc.def") == "[Authorization]"
    assert hide.observation("sent abc.def as text/html") == "sent [Authorization] as text/html"


def test_addresses_among_the_arguments():
    url = "https://host/s/0123456789abcdef0123/mcp"
    hide = redactor(command="npx", args=("mcp-remote", url))
    assert hide.shown == "npx mcp-remote https://host/s/.../mcp"
    assert hide.error(f"GET {url} failed") == "GET https://host/s/.../mcp failed"


def test_a_secret_in_the_path_of_an_address(monkeypatch):
    monkeypatch.setenv("KEY", "abcd")
    hide = redactor(url="https://host/s/${KEY}/mcp")
    assert hide.error("GET https://host/s/abcd/mcp") == "GET https://host/s/[KEY]/mcp"


def test_passwords_inside_values():
    hide = redactor(command="x", env={"DATABASE": "postgres://me:hunter2@db/x"})
    assert hide.observation("postgres://me:hunter2@db/x") == "postgres://me:[DATABASE]@db/x"


def test_values_inside_json():
    hide = redactor(command="x", env={"KEY": 'a\n"b"'})
    assert hide.observation('{"key": "a\\n\\"b\\""}') == '{"key": "[KEY]"}'


def test_short_values_hide_nothing():
    assert redactor(command="x", env={"DEBUG": "1", "KEY": ""}).error("1 of 10") == "1 of 10"


def test_longer_values_first():
    hide = redactor(command="x", env={"A_KEY": "abcd", "B_KEY": "abcdef"})
    assert hide.observation("abcdef abcd") == "[B_KEY] [A_KEY]"


def test_log_records_become_one_line_without_values(caplog):
    logger = logging.getLogger("mcp.client.stdio")
    with redacted_logs([redactor(command="x", env={"DATA": "/data"})]):
        try:
            raise ValueError("cannot\nread /data")
        except ValueError:
            logger.exception("failed on %s", "/data")
    [record] = caplog.records
    assert record.getMessage() == "failed on [DATA]: ValueError: cannot read [DATA]"
    assert "Traceback" not in caplog.text
    logger.warning("untouched: /data")
    assert caplog.records[-1].getMessage() == "untouched: /data"
