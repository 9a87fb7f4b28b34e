"""The connection to an endpoint: addresses, proxies, long lines, odd characters, its end."""

import asyncio
import gc
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from endpoint_server import Status, completion, refuse

from toolmaster.errors import ConfigError, PermanentPolicyError, PolicyError
from toolmaster.policies import connection, endpoint
from toolmaster.policies.base import EndpointSettings, Sampling
from toolmaster.policies.connection import parse_base_url
from toolmaster.policies.endpoint import ChatEndpoint

MESSAGES = [{"role": "user", "content": "How many?"}]


def ask(url, messages=MESSAGES, times=1):
    """Ask, and leave the connection to the end of the event loop: the endpoint is forgotten."""

    async def go():
        asked = ChatEndpoint("m", Sampling(), url, retries=0)
        return [await asked.ask(messages) for _ in range(times)][-1]

    return asyncio.run(go())


def test_an_address_keeps_what_it_asks_for(serve):
    server = serve("four")
    ask(server.url + "/?version=2024-10-21")
    [(path, headers, _)] = server.requests
    assert path == "/v1/chat/completions?version=2024-10-21"
    assert headers["Authorization"].startswith("Bearer sk-")
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("ending", ["/chat/completions", "/chat/completions/", "/responses"])
def test_an_address_may_be_longer_than_its_base(serve, ending):
    server = serve("four")
    ask(server.url + ending)
    assert server.requests[0][0] == "/v1/chat/completions"


@pytest.mark.parametrize("reply", [
    refuse(404, "Not Found"),
    Status(404, "404 page not found"),
    refuse(405, "Method Not Allowed"),
    Status(200, "<!doctype html><html>Open WebUI</html>"),
])  # fmt: skip
def test_an_address_without_a_version(serve, reply):
    base = serve(reply).url.removesuffix("/v1")
    with pytest.raises(PermanentPolicyError) as raised:
        ask(base)
    assert str(raised.value).endswith(f"most addresses end with /v1: --base-url {base}/v1")


def test_an_address_with_a_version_gets_no_such_hint(serve):
    with pytest.raises(PermanentPolicyError) as raised:
        ask(serve(refuse(404, "Not Found")).url.replace("/v1", "/v1beta/openai"))
    assert "end with" not in str(raised.value)


def test_settings_of_the_requests(serve, monkeypatch):
    monkeypatch.setenv("TEAM_TOKEN", "a-very-secret-team")
    settings = EndpointSettings(
        headers={"x_team_token": "$TEAM_TOKEN", "x-title": "a"},
        body={"top_p": "0.9", "provider": {"order": ["a"]}, "temperature": 1.5},
        reasoning_effort="low",
    )
    server = serve("four", refuse(500, "I saw a-very-secret-team"))

    async def go(times):
        asked = ChatEndpoint("m", Sampling(), server.url, **{**dict(settings), "retries": 0})
        try:
            return [await asked.ask(MESSAGES) for _ in range(times)]
        finally:
            await asked.close()

    with pytest.raises(PolicyError, match=r"I saw \[x-team-token\]"):
        asyncio.run(go(2))
    _, headers, body = server.requests[0]
    assert {"x-team-token": "a-very-secret-team", "x-title": "a"}.items() <= {
        name.lower(): value for name, value in headers.items()
    }.items()
    sent = {"top_p": 0.9, "provider": {"order": ["a"]}, "temperature": 1.5}
    assert body.items() >= {**sent, "reasoning_effort": "low", "max_tokens": 224}.items()
    monkeypatch.delenv("TEAM_TOKEN")
    with pytest.raises(ConfigError, match="x-team-token is read from TEAM_TOKEN, which is not set"):
        asyncio.run(go(0))


def test_a_secret_in_a_setting():
    with pytest.raises(ValueError, match=r"api-key holds a secret; give it in an environment"):
        EndpointSettings(headers={"api_key": "abc"})


def test_a_header_in_place_of_a_key(serve, monkeypatch):
    server = serve("four")
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setattr(endpoint, "OPENAI", server.url)
    ChatEndpoint("m", Sampling(), headers={"Authorization": "Bearer sk-0f9d8c7b6a"})


def test_a_reply_that_is_a_stream(serve):
    stream = (
        'data: {"choices": [{"delta": {"content": "fo"}}]}\n\n'
        'data: {"choices": [{"delta": {"content": "ur"}, "finish_reason": "stop"}]}\n\n'
    )
    headers = {"content-type": "application/json"}
    assert ask(serve(Status(200, stream, headers)).url).content == "four"


def test_an_error_with_a_status_of_success(serve):
    said = {"error": {"message": "no credit", "code": 402}}
    with pytest.raises(PermanentPolicyError, match="402 no credit; the account has no credit left"):
        ask(serve(said).url)


def test_a_name_in_the_address_takes_the_place_of_the_key(serve):
    server = serve("four")
    ask(server.url.replace("http://", "http://me:hunter2@"))
    [(_, headers, _)] = server.requests
    assert headers["Authorization"] == "Basic bWU6aHVudGVyMg=="  # me:hunter2


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("localhost:8000/v1", "'localhost:8000/v1'"),
        ("http:///v1", "'http:///v1'"),
        ("http://[::1/v1", "'http://[::1/v1'"),
        ("http://host:99999/v1", "'http://host:99999/v1'"),
        ("ftp://me:hunter2@host/v1?key=k", "'host/v1'"),
    ],
)
def test_what_is_no_address(given, shown):
    with pytest.raises(PermanentPolicyError) as raised:
        parse_base_url(given)
    assert str(raised.value).startswith(f"{shown} is not an address of a server")


def test_a_proxy_of_the_environment_is_asked_for_other_machines_alone(serve, monkeypatch):
    proxy, local = serve("by proxy"), serve("at home")
    monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask("http://models.invalid/v1").content == "by proxy"
    assert proxy.requests[0][0] == "http://models.invalid/v1/chat/completions"
    assert ask(local.url).content == "at home"
    assert len(proxy.requests) == 1


def test_half_a_character_is_replaced(serve):
    server = serve("four")
    ask(server.url, [{"role": "user", "content": "\ud83d naïve"}])
    assert server.bodies()[0]["messages"][0]["content"] == "? naïve"


def test_a_long_answer(serve):
    text = "é" * 2_000_000
    assert ask(serve(text).url).content == text


def test_one_layer_of_compression_is_decoded_within_a_limit(serve, monkeypatch):
    def reply(coding):
        return Status(200, completion("four"), {"content-encoding": coding})

    server = serve(reply("gzip"), reply("gzip, gzip"), reply("br"), reply("gzip"))
    assert ask(server.url).content == "four"
    assert server.requests[0][1]["Accept-Encoding"] == "identity"
    for coding in ("gzip, gzip", "br"):
        with pytest.raises(PolicyError, match=f"compressed as '{coding}', though"):
            ask(server.url)
    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 100)
    with pytest.raises(PolicyError, match="its answer has more than 100 bytes"):
        ask(server.url)


def test_what_is_forgotten_is_closed_at_the_end_of_the_loop(serve):
    server = serve(*["four"] * 6)
    for _ in range(3):
        ask(server.url, times=2)
        assert not connection._OPEN
    gc.collect()  # a session or a socket left open is a warning, and so an error


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine that nobody signed but itself: a file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "toolmaster test")])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, pkcs8, plain))
    return file


def test_certificates_are_checked(serve, certificate, monkeypatch):
    server = serve("four")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    address = server.url.replace("http://", "https://")
    with pytest.raises(PermanentPolicyError, match="certificate verify failed"):
        ask(address)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(address).content == "four"
