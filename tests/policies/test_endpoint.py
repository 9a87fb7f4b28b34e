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
from endpoint_server import Status, completion

from toolmaster.errors import PermanentPolicyError, PolicyError
from toolmaster.policies import endpoint
from toolmaster.policies.base import Sampling
from toolmaster.policies.endpoint import ChatEndpoint, parse_base_url

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
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", 100)
    with pytest.raises(PolicyError, match="its answer has more than 100 bytes"):
        ask(server.url)


def test_what_is_forgotten_is_closed_at_the_end_of_the_loop(serve):
    server = serve(*["four"] * 6)
    for _ in range(3):
        ask(server.url, times=2)
        assert not endpoint._OPEN
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
