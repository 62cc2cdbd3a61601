"""Signatures of Segment's webhooks: genuine ones pass in both forms, everything else fails without an exception."""

import json
from pathlib import Path

import pytest

from connectors.signatures import sign_segment, verify_segment

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "webhook_signature.json").read_text())
EVENT = b'{"type":"track","event":"a","userId":"u","properties":{"total":1.0,"big":1e+21}}'
SECRET = b"s3cr3t"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['mode']}-{len(v['secret'])}")
def test_what_segment_signs_is_genuine(vector: dict[str, str]) -> None:
    raw, secret = vector["raw"].encode(), vector["secret"].encode()

    assert verify_segment(raw, vector["signature"], [secret])
    assert not verify_segment(raw + b" ", vector["signature"], [secret]) or vector["mode"] == "batch_first"
    assert not verify_segment(raw, vector["signature"], [b"another"])


def test_any_of_several_secrets_will_do() -> None:
    signature = sign_segment(EVENT, SECRET)

    assert verify_segment(EVENT, signature, [b"old", SECRET])
    assert verify_segment(EVENT, signature, [SECRET, b"new"])


def test_without_a_secret_nothing_is_genuine() -> None:
    assert not verify_segment(EVENT, sign_segment(EVENT, b""), [b""])
    assert not verify_segment(EVENT, sign_segment(EVENT, b""), [])


@pytest.mark.parametrize("signature", ["", "é✓", "\udcff", "0" * 40, sign_segment(EVENT, SECRET).upper(), "a" * 9999])
def test_a_wrong_signature_is_refused_without_an_exception(signature: str) -> None:
    assert not verify_segment(EVENT, signature, [SECRET])


def test_the_first_element_is_taken_as_its_exact_bytes() -> None:
    raw = b" [\n " + EVENT + b" , {}]"

    assert verify_segment(raw, sign_segment(EVENT, SECRET), [SECRET])
    assert not verify_segment(b"[{}," + EVENT + b"]", sign_segment(EVENT, SECRET), [SECRET])


@pytest.mark.parametrize("raw", [b"", b"[", b"[]", b"\xff\xfe", b"[" * 100_000, b"[" + b"9" * 5000 + b"]", b"[nope]"])
def test_a_body_that_is_no_list_of_json_is_signed_as_a_whole(raw: bytes) -> None:
    assert verify_segment(raw, sign_segment(raw, SECRET), [SECRET])
    assert not verify_segment(raw, sign_segment(raw + b"x", SECRET), [SECRET])
