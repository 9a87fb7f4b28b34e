"""The `mcpServers` file: read as clients write it, and refused with file, server and field."""

import json

import pytest

from toolmaster.errors import InputError
from toolmaster.tools.mcp import McpServer, read_mcp_servers


@pytest.fixture
def write(tmp_path):
    """A function: a file with this content, text or JSON."""

    def write_file(content):
        path = tmp_path / "mcp.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_a_file_as_clients_write_it(write, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_abc")
    path = write(
        {
            "mcpServers": {
                "github": {
                    "type": "stdio",
                    "command": "npx",
                    "args": ["-y", "@modelcontextprotocol/server-github"],
                    "env": {"TOKEN": "${GITHUB_TOKEN}"},
                    "autoApprove": ["search"],
                    "timeout": 60,
                },
                "docs": {
                    "type": "http",
                    "url": "https://docs/mcp",
                    "headers": {"X-A": "b"},
                },
                "old": {"command": "gone", "env": {"X": "${NOT_SET_ANYWHERE}"}, "disabled": True},
            },
            "theme": "dark",
        }
    )
    servers = read_mcp_servers(path)
    assert list(servers) == ["github", "docs"]
    assert servers["github"].args == ("-y", "@modelcontextprotocol/server-github")
    assert servers["github"].env == {"TOKEN": "${GITHUB_TOKEN}"}
    assert servers["github"].resolve().env == {"TOKEN": "ghp_abc"}
    assert servers["docs"].url == "https://docs/mcp"
    assert servers["docs"].headers == {"X-A": "b"}


def test_variables_everywhere(monkeypatch):
    monkeypatch.setenv("A", "one")
    monkeypatch.setenv("EMPTY", "")
    server = McpServer(
        command="${A}",
        args=("x-${A}-${env:A}", "${NOT_SET:-two}", "${EMPTY}", "$A {A}"),
        env={"KEY": "${NOT_SET:-}"},
        cwd="/tmp/${A}",
    )
    assert server.resolve() == McpServer(
        command="one", args=("x-one-one", "two", "", "$A {A}"), env={"KEY": ""}, cwd="/tmp/one"
    )
    assert server.variables() == {"A", "NOT_SET", "EMPTY"}
    remote = McpServer(url="https://${A}/mcp", headers={"Authorization": "Bearer ${A}"})
    assert remote.resolve().url == "https://one/mcp"
    assert remote.resolve().headers == {"Authorization": "Bearer one"}


def test_settings_do_not_show_what_they_hold():
    text = repr(McpServer(command="x", args=("--key=secret1",), env={"A": "secret2"}))
    text += repr(McpServer(url="https://h/secret3", headers={"A": "secret4"}))
    assert "secret" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON: Expecting property name"),
        ("[" * 100_000, "not valid JSON"),
        ([], 'should be {"mcpServers": {name: server, ...}}'),
        ({"servers": []}, 'should be {"mcpServers": {name: server, ...}}'),
        ({"servers": {}}, "'servers' names no server that"),
        ({"mcpServers": {}}, "'mcpServers' names no server that"),
        (
            {"mcpServers": {"a": {"command": "x", "disabled": True}}},
            "'mcpServers' names no server that",
        ),
    ],
)
def test_malformed_files(write, content, message):
    with pytest.raises(InputError) as caught:
        read_mcp_servers(write(content))
    assert str(caught.value).startswith(str(write(content)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("npx", "should be an object"),
        ({}, "give either 'command' (stdio) or 'url' (streamable HTTP)"),
        ({"command": "x", "url": "http://h"}, "give either 'command'"),
        ({"command": ""}, "command: String should have at least 1 character"),
        ({"command": ["npx"]}, "command: Input should be a valid string"),
        ({"command": "x", "args": "-y"}, "args: Input should be a valid tuple"),
        ({"command": "x", "args": ["-p", [8080]]}, "args.1: Input should be a valid string"),
        ({"command": "x", "env": {"KEY": {}}}, "env.KEY: Input should be a valid string"),
        ({"command": "x", "arg": []}, "unknown field 'arg' (did you mean 'args'?)"),
        ({"url": "ws://h/mcp", "type": "ws"}, "type: Input should be 'stdio', 'http' or 'sse'"),
        (
            {"command": "x", "env": {"KEY": "${input:key}"}},
            "${input:key} is asked for in a window of VS Code; write ${NAME} instead",
        ),
        (
            {"command": "x", "args": ["a", "${NOT_SET}"]},
            "the environment variable NOT_SET is not set",
        ),
        (
            {"command": "x", "env": {"KEY": "${NOT_SET}"}},
            "the environment variable NOT_SET is not set",
        ),
    ],
)
def test_malformed_servers(write, server, message):
    path = write({"mcpServers": {"fine": {"command": "x"}, "bad one": server}})
    with pytest.raises(InputError) as caught:
        read_mcp_servers(path)
    assert str(caught.value).startswith(f"{path}: server 'bad one': {message}")


VS_CODE = """{
    // servers of this project
    "inputs": [{"id": "key"}], /* asked
    for */
    "servers": {
        "a": {"type": "stdio", "command": "x", "args": ["http://h//a", "/* b */", "c,]"],},
        "b": {"url": "https://h/mcp", "enabled": false},
    },
}"""


@pytest.mark.parametrize("wrapped", ["{}", '{{"mcp": {}}}'])
def test_a_file_of_vs_code_with_comments_and_last_commas(write, wrapped):
    servers = {"a": McpServer(command="x", args=("http://h//a", "/* b */", "c,]"), type="stdio")}
    assert read_mcp_servers(write(wrapped.format(VS_CODE))) == servers


@pytest.mark.parametrize(
    ("entry", "same"),
    [
        *(({name: "http://h"}, {"url": "http://h"}) for name in ("serverUrl", "httpUrl", "url")),
        *(
            ({"url": "http://h", "type": name}, {"url": "http://h", "type": "http"})
            for name in ("http", "streamable-http", "streamableHttp", "streamable_http", "HTTP")
        ),
        ({"url": "http://h", "transport": "SSE"}, {"url": "http://h", "type": "sse"}),
        ({"url": "http://h", "transport": {"type": "sse"}}, {"url": "http://h", "type": "sse"}),
        (
            {"command": "x", "args": ["-p", 8080], "env": {"A": 1, "B": 2.5, "C": True, "D": None}},
            {"command": "x", "args": ["-p", "8080"], "env": {"A": "1", "B": "2.5", "C": "true"}},
        ),
        ({"url": "http://h", "headers": {"X": 5}}, {"url": "http://h", "headers": {"X": "5"}}),
    ],
)
def test_other_names_and_forms_of_a_field(write, entry, same):
    [server] = read_mcp_servers(write({"servers": {"a": entry}})).values()
    assert server == McpServer(**same)


def test_folders_as_vs_code_names_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    server = McpServer(command="x", args=("${workspaceFolder}/a", "${userHome}/b"))
    assert server.resolve().args == (f"{tmp_path}/a", "/home/me/b")


def test_messages_do_not_quote_values(write):
    path = write({"mcpServers": {"a": {"command": "x", "env": {"KEY": ["secret"]}}}})
    with pytest.raises(InputError) as caught:
        read_mcp_servers(path)
    assert "secret" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.json': No such file"):
        read_mcp_servers(tmp_path / "none.json")


def test_null_is_absent_and_a_byte_order_mark_is_no_harm(tmp_path):
    path = tmp_path / "mcp.json"
    text = '{"mcpServers": {"a": {"command": "x", "url": null, "env": null}}}'
    path.write_text(text, encoding="utf-8-sig")
    assert read_mcp_servers(path) == {"a": McpServer(command="x")}
