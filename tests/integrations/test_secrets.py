"""Secrets stay secret, stay where they belong, and never come out wrong."""

from __future__ import annotations

import base64

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from integrations import secrets
from integrations.models import Secret

OLD, NEW = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("old1", "new1"))


@pytest.fixture
def ring(settings):
    """ring(NEW, OLD) → these keys, newest first."""

    def set_ring(*keys: str) -> None:
        settings.SECRET_KEYS = ",".join(keys)

    set_ring(OLD)
    return set_ring


@pytest.mark.django_db
def test_what_is_put_is_opened_and_is_not_readable_in_between(ring):
    secrets.put("account", 7, "token", "s3cret ä")
    secrets.put("account", 7, "token", "s3cret ö")
    secrets.put("account", 8, "token", "other")

    assert secrets.open_all("account", [7, 8, 9]) == {7: {"token": "s3cret ö"}, 8: {"token": "other"}, 9: {}}
    assert secrets.names("account", 7) == {"token"}
    envelope = Secret.objects.get(owner_id=7).ciphertext
    assert envelope.startswith("v1:old1:")
    assert b"s3cret" not in base64.b64decode(envelope.split(":")[2])


@pytest.mark.django_db
def test_any_number_of_owners_is_opened_with_one_query(ring, django_assert_num_queries):
    for id in range(20):
        secrets.put("account", id, "token", "t")

    with django_assert_num_queries(1):
        assert len(secrets.open_all("account", range(20))) == 20


@pytest.mark.django_db
def test_an_empty_value_and_forget_both_forget(ring):
    secrets.put("account", 7, "token", "t")
    secrets.put("account", 7, "key", "k")
    secrets.put("account", 7, "token", "")

    assert secrets.names("account", 7) == {"key"}

    secrets.forget("account", 7)

    assert secrets.names("account", 7) == set()


@pytest.mark.django_db
@pytest.mark.parametrize("move", [{"owner_id": 8}, {"owner_kind": "source"}, {"name": "other"}])
def test_a_ciphertext_moved_to_another_row_does_not_open(ring, move):
    secrets.put("account", 7, "token", "s3cret")
    Secret.objects.update(**move)
    row = Secret.objects.get()

    with pytest.raises(secrets.SecretError, match="moved outside Switchyard"):
        secrets.open_all(row.owner_kind, [row.owner_id])


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ("v1:gone:AAAA", "encrypted with key 'gone', which is not in SWITCHYARD_SECRET_KEYS"),
        ("v1:old1:AAAA", "does not open with key 'old1'"),
        ("v1:old1:not base64", "does not open with key 'old1'"),
        ("plain text", "no envelope this version reads"),
    ],
)
def test_what_does_not_open_says_why_and_never_gives_a_wrong_value(ring, envelope, message):
    with pytest.raises(secrets.SecretError, match=message):
        secrets.unseal("account", 7, "token", envelope)


@pytest.mark.django_db
def test_rotation_moves_every_secret_to_the_newest_key(ring, capsys):
    for id in range(5):
        secrets.put("account", id, "token", f"t{id}")
    ring(NEW, OLD)
    secrets.put("account", 4, "token", "newer")

    call_command("rotate_secrets")
    call_command("rotate_secrets")

    said = capsys.readouterr().out.splitlines()
    assert said == [f"{n} secrets were encrypted again; all are under the key new1 now." for n in (4, 0)]
    ring(NEW)
    opened = secrets.open_all("account", range(5))
    assert opened == {**{id: {"token": f"t{id}"} for id in range(4)}, 4: {"token": "newer"}}


@pytest.mark.django_db
def test_rotation_goes_on_where_it_was_stopped(ring):
    for id in range(3):
        secrets.put("account", id, "token", "t")
    Secret.objects.filter(owner_id=1).update(ciphertext="v1:gone:AAAA")
    ring(NEW, OLD)

    with pytest.raises(secrets.SecretError):
        secrets.rotate(batch=1)
    Secret.objects.filter(owner_id=1).delete()

    assert secrets.rotate(batch=1) == 1
    assert all(text.startswith("v1:new1:") for text in Secret.objects.values_list("ciphertext", flat=True))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("", "SWITCHYARD_SECRET_KEYS is empty"),
        ("a:c2hvcnQ=", "the key 'a' must read id:key, with 32 random bytes"),
        ("a:***", "the key 'a' must read id:key, with 32 random bytes"),
    ],
)
def test_a_production_without_proper_keys_does_not_start(settings, keys, message):
    settings.SECRET_KEYS = keys

    with pytest.raises(ImproperlyConfigured, match=message):
        secrets.require_keys()
    assert [(error.id, message in error.msg) for error in secrets.check_keys()] == [("switchyard.E001", True)]


def test_a_production_without_a_key_for_sessions_does_not_start(settings):
    settings.SECRET_KEY = ""

    assert [error.msg for error in secrets.check_keys()] == [
        "The environment variable SECRET_KEY is empty: set it to a long random text."
    ]
