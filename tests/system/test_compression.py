"""Bodies in every coding: decoded within a limit, or refused."""

import gzip
import zlib

import pytest

from toolmaster.system.compression import BodyDecoder

TEXT = b"several words, " * 1000
RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("GZIP", gzip.compress(TEXT)),
        ("identity, gzip", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", RAW.compress(TEXT) + RAW.flush()),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_one_layer_is_decoded(coding, body, step):
    decoder = BodyDecoder(coding, len(TEXT))
    chunks = [body[i : i + step] for i in range(0, len(body), step)]
    assert b"".join(map(decoder.decode, chunks)) == TEXT
    assert decoder.full


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_no_more_than_the_limit_is_decoded(coding):
    body = gzip.compress(bytes(10_000_000)) if coding else bytes(10_000)
    decoder = BodyDecoder(coding, 10)
    assert (decoder.decode(body), decoder.decode(body), decoder.full) == (bytes(10), b"", True)


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "gzip,deflate", "x"])
def test_other_codings_are_refused(coding):
    with pytest.raises(ValueError, match="allowed is one layer"):
        BodyDecoder(coding, 10).decode(b"x")


def test_a_damaged_body_is_refused():
    with pytest.raises(ValueError, match="damaged"):
        BodyDecoder("gzip", 10).decode(b"no gzip")
