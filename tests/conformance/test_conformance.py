"""Our engines give what Segment's published packages gave, row by row, or differ as reviewed."""

import re

import pytest

from tests.conformance.engines import COMPARED, match
from tests.connectors import vectors

KEY = r"(?:[A-Za-z_]|\\.)(?:[A-Za-z0-9_-]|\\.)*"
PATH = rf"(?:properties|traits|context)(?:\.{KEY})+"
TEXT = r'"[^"~]*"'
COMPARISON = rf"(?:type|event|name|userId|{PATH}) (?:=|!=|<|<=|>|>=) (?:{TEXT}|-?[0-9]+(?:\.[0-9]+)?|true|false|null)"
LOOKED_IN = rf"(?:event|name|userId|{PATH})"
ABOUT_TEXT = rf'!?(?:contains\({LOOKED_IN}, ?{TEXT}\)|match\({LOOKED_IN}, ?"(?:\*[^"*~]+|[^"*~]+\*)"\))'


def one_level(part: str) -> str:
    return rf"{part}(?:(?:(?: and |, ){part})*|(?: or {part})*)"


CORE = re.compile(one_level(rf"(?:{COMPARISON}|{ABOUT_TEXT}|\({one_level(COMPARISON)}\))"), re.ASCII)
"""What Segment's editor writes, and groups one deep: there, Segment's verdict is ours."""

OUTSIDE = {
    "fql-0446": "Segment throws on a path of nothing but brackets",
    "fql-0447": "Segment throws on a path of nothing but brackets",
    "fql-0463": "Segment does not join a keyword into a path",
    "fql-0465": "Segment does not join a keyword into a path",
    "fql-0477": "a JavaScript prototype",
    "fql-1056": "Segment throws on an event that is null",
}


@pytest.mark.parametrize("name", COMPARED)
def test_every_row_is_segments_or_refused_or_reviewed(name: str) -> None:
    report = vectors.run(name, COMPARED[name])

    assert report.wrong == []
    assert name.startswith("fql") or report.counts["refused"] == 0


@pytest.mark.parametrize(("name", "least"), [("fql", 400), ("fql_fuzz", 100)])
def test_what_segments_editor_writes_gets_segments_verdict(name: str, least: int) -> None:
    core = [row for row in vectors.rows(name) if CORE.fullmatch(row["fql"])]

    different = {row["id"] for row in core if match(row) != "equal"}

    assert len(core) > least
    assert different == {row["id"] for row in core} & OUTSIDE.keys()
