"""Doors are answered before the admin's middleware, and the admin keeps all of its own."""

from django.test import Client

ADMINS_OWN = {"X-Frame-Options", "Vary"}  # what the middleware of sessions, csrf and frames leaves on an answer


def test_a_door_answers_without_what_only_people_need(client, db):
    answer = client.post("/v1/track", b"{}", "application/json")

    assert answer.status_code == 401
    assert answer["Content-Length"] == str(len(answer.content))
    assert ADMINS_OWN & set(answer.headers) == set()
    assert not hasattr(answer.wsgi_request, "session")


def test_an_address_below_v1_that_is_no_door_is_not_found(client, db):
    answer = client.post("/v1/nowhere", b"{}", "application/json")

    assert answer.status_code == 404


def test_the_admin_still_knows_who_is_there(admin_client):
    answer = admin_client.get("/admin/")

    assert answer.status_code == 200
    assert answer.wsgi_request.user.is_superuser
    assert answer["X-Frame-Options"] == "DENY"


def test_the_admin_still_refuses_a_form_without_its_token(db):
    stranger = Client(enforce_csrf_checks=True)

    answer = stranger.post("/admin/login/", {"username": "u", "password": "p"})

    assert answer.status_code == 403
