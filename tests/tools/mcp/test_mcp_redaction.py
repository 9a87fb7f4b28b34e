"""Secrets are hidden by their names, wherever a server is given them; all else stays readable."""

import logging
from urllib.parse import quote

import pytest

from toolmaster.system.redaction import Redactor
from toolmaster.tools.mcp.live import LiveServer
from toolmaster.tools.mcp.redaction import redacted_logs, secrets_of
from toolmaster.tools.mcp.servers import McpServer


def redactor(**settings):
    """A function: what an observation shows of a text."""
    server = McpServer(**settings)
    return Redactor(secrets_of(server, server.resolve())).text


@pytest.mark.parametrize(
    "name",
    ["API_KEY", "apiKey", "GITHUB_TOKEN", "accessToken", "DB_PASSWORD", "PGPASSWORD", "MY_PAT"],
)
def test_secrets_by_their_names(name):
    hide = redactor(command="x", env={name: "abcd"})
    assert hide("it is abcd!") == f"it is [{name}]!"


@pytest.mark.parametrize("name", ["HOME", "PATH", "AUTHOR", "KEYBOARD", "MAX_TOKENS", "MONKEY"])
def test_plain_values_stay(name):
    assert redactor(command="x", env={name: "/data"})("in /data/x") == "in /data/x"


@pytest.mark.parametrize(
    ("args", "secret"),
    [
        (("--api-key", "abcd"), "abcd"),
        (("-H", "X-Api-Key: abcd"), "abcd"),
        (("TOKEN=abcd",), "abcd"),
        (("--password", "two words"), "two words"),
        (("mcp-remote", "https://host/s/0123456789abcdef0123/mcp"), "0123456789abcdef0123"),
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
def test_secrets_among_the_arguments(args, secret):
    hide = redactor(command="run", args=args)
    assert secret not in hide(f"cannot use {secret}!")
    assert quote(secret, safe="") not in hide(f"cannot use {quote(secret, safe='')}!")


@pytest.mark.parametrize(
    "args",
    [
        ("-y", "pkg@1.2", "--mode=a=b", "postgres://reader@localhost/db", "C:/x", "a: b c=d"),
        ("auth", "login"),
        ("--no-auth", "--port"),
    ],
)
def test_arguments_without_secrets_stay(args):
    text = " ".join(args)
    assert redactor(command="run", args=args)(text) == text


def test_variables_and_addresses(monkeypatch):
    monkeypatch.setenv("FOLDER", "/data")
    monkeypatch.setenv("TOKEN", "abcd")
    hide = redactor(command="run", args=("${FOLDER}", "a b", "${TOKEN}"))
    assert hide("/data abcd") == "/data [TOKEN]"
    assert redactor(url="https://host/s/${TOKEN}/mcp")("/s/abcd") == "/s/[TOKEN]"
    url = "https://me:pass-word@host:8000/api/0123456789abcdef0123/mcp?key=abcd"
    hide = redactor(url=url, headers={"Authorization": "Bearer abc.def", "Accept": "text/html"})
    assert hide(url) == "https://me:[password]@host:8000/api/[path]/mcp?key=[key]"
    assert hide("Bearer abc.def") == "[Authorization]"
    assert hide("sent abc.def as text/html") == "sent [Authorization] as text/html"
    hide = redactor(command="x", env={"PASSWORD": "correct horse"})
    assert hide("a horse, correct horse") == "a horse, [PASSWORD]"


def test_passwords_inside_values():
    hide = redactor(command="x", env={"DATABASE": "postgres://me:hunter2@db/x"})
    assert hide("postgres://me:hunter2@db/x") == "postgres://me:[DATABASE]@db/x"


def test_values_inside_json():
    hide = redactor(command="x", env={"KEY": 'a\n"b"'})
    assert hide('{"key": "a\\n\\"b\\""}') == '{"key": "[KEY]"}'


def test_short_values_hide_nothing():
    assert redactor(command="x", env={"DEBUG": "1", "KEY": ""})("1 of 10") == "1 of 10"


def test_longer_values_first():
    hide = redactor(command="x", env={"A_KEY": "abcd", "B_KEY": "abcdef"})
    assert hide("abcdef abcd") == "[B_KEY] [A_KEY]"


def test_log_records_become_one_line_without_values(caplog):
    logger = logging.getLogger("mcp.client.stdio")
    told = LiveServer("x", McpServer(command="x", env={"PLACE": "/data"}), 1).log_redactor
    with redacted_logs([told]):
        try:
            raise ValueError("cannot\nread /data")
        except ValueError:
            logger.exception("failed on %s", "/data")
    [record] = caplog.records
    assert record.getMessage() == "failed on [PLACE]: ValueError: cannot read [PLACE]"
    assert "Traceback" not in caplog.text
    logger.warning("untouched: /data")
    assert caplog.records[-1].getMessage() == "untouched: /data"
