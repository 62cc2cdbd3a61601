"""What arrived at the emulated vendors, as a page to look at: newest first, plain HTML, everything in it escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

from connectors.sandbox.memory import Item, Memory

SHOWN = 50
COLUMNS = ("No.", "At (UTC)", "Host", "Key", "Became", "Body")
STYLE = """
body { font: 1rem/1.4 sans-serif; margin: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #999; padding: .3rem .6rem; text-align: left; vertical-align: top }
pre { margin: 0; white-space: pre-wrap }
"""


def received(memories: Mapping[str, Memory], vendor: str = "", before: int | None = None) -> str:
    """The newest items of a vendor, or of each; `before` is the number to go on below. KeyError: no such vendor."""
    if vendor and vendor not in memories:
        raise KeyError(f"no vendor {vendor!r}; there are: {', '.join(memories)}")
    links = "".join(f"<li>{_link(name, vendor=name)}</li>" for name in memories)
    parts = (_vendor(name, memory, before) for name, memory in memories.items() if vendor in ("", name))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title><style>{STYLE}</style>'
        f"<h1>What arrived in the sandbox</h1><nav><ul><li>{_link('all')}</li>{links}</ul></nav>{''.join(parts)}"
    )


def _vendor(name: str, memory: Memory, before: int | None) -> str:
    counts = memory.counts()
    items = memory.newest(SHOWN + 1, before)
    head = "".join(f'<th scope="col">{title}</th>' for title in COLUMNS)
    rows = "".join(_row(item) for item in items[:SHOWN])
    older = _link("Older", vendor=name, before=items[SHOWN - 1].n) if len(items) > SHOWN else ""
    return (
        f"<h2>{escape(name)}</h2><p>{counts['received']:,} in {counts['requests']:,} requests, "
        f"{counts['accepted']:,} taken in.</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{older}"
    )


def _row(item: Item) -> str:
    at = f"{datetime.fromtimestamp(item.at, UTC):%Y-%m-%d %H:%M:%S}"
    cells = (str(item.n), at, item.host, item.key, item.reason or "taken in")
    body = item.body if isinstance(item.body, str) else json.dumps(item.body, indent=1, ensure_ascii=False)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + f"<td><pre>{escape(body)}</pre></td></tr>"


def _link(text: str, **query: Any) -> str:
    return f'<a href="?{escape(urlencode(query))}">{escape(text)}</a>'
