"""What must not stand in a log."""

from logs import redact


def test_headers_that_carry_credentials_lose_their_value():
    sent = {"Authorization": "Basic abc", "X-API-TOKEN": "t", "X-Signature": "f00", "Content-Type": "application/json"}

    assert redact.headers(sent) == {
        "Authorization": "••••",
        "X-API-TOKEN": "••••",
        "X-Signature": "••••",
        "Content-Type": "application/json",
    }


def test_a_secret_is_taken_out_wherever_it_stands():
    secret = 'k"y/ö'

    assert redact.text("https://x.example/?key=k%22y%2F%C3%B6", [secret]) == "https://x.example/?key=••••"
    assert redact.body(b'{"api_key":"k\\"y/\\u00f6"}', [secret]) == '{"api_key":"••••"}'.encode()
    assert redact.body('{"api_key":"k\\"y/ö"}'.encode(), [secret]) == '{"api_key":"••••"}'.encode()


def test_a_blanked_secret_leaves_every_offset_as_it_was():
    assert redact.blank(b'{"writeKey":"abc","x":1}', "abc") == b'{"writeKey":"***","x":1}'
