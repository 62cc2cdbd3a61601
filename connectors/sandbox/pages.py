"""What arrived at the emulated vendors, as a page to look at: newest first, plain HTML, everything in it escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from connectors.sandbox.memory import Item, Memory

SHOWN = 50
STYLE = (
    "body{font:1rem/1.4 sans-serif;margin:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{border:1px solid #999;padding:.3rem .6rem;text-align:left;vertical-align:top}pre{margin:0;white-space:pre-wrap}"
)


def received(memories: Mapping[str, Memory], vendor: str, before: int | None = None) -> str:
    """The newest items of one vendor, or of all of them without `vendor`; `before` is the number to go on below."""
    if vendor and vendor not in memories:
        raise KeyError(f"no vendor {vendor!r}; there are: {', '.join(memories)}")
    chosen = {name: memory for name, memory in memories.items() if vendor in ("", name)}
    parts = [_vendor(name, memory, before) for name, memory in chosen.items()]
    links = "".join(f'<li><a href="?vendor={escape(name)}">{escape(name)}</a></li>' for name in memories)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title><style>{STYLE}</style>'
        f'<h1>What arrived in the sandbox</h1><nav><ul><li><a href="?">all</a></li>{links}</ul></nav>{"".join(parts)}'
    )


def _vendor(name: str, memory: Memory, before: int | None) -> str:
    counts = memory.counts()
    items = memory.newest(SHOWN + 1, before)
    older = f'<p><a href="?vendor={escape(name)}&amp;before={items[SHOWN - 1].n}">Older</a></p>' if items[SHOWN:] else ""
    rows = "".join(_row(item) for item in items[:SHOWN]) or '<tr><td colspan="6">Nothing yet.</td></tr>'
    head = "".join(f'<th scope="col">{title}</th>' for title in ("No.", "At (UTC)", "Host", "Key", "Became", "Body"))
    told = f"{counts['received']:,} in {counts['requests']:,} requests, {counts['accepted']:,} taken in"
    return f"<h2>{escape(name)}</h2><p>{told}.</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{older}"


def _row(item: Item) -> str:
    at = datetime.fromtimestamp(item.at, UTC).strftime("%H:%M:%S.%f")[:-3]
    body = _readable(item.body)
    cells = (str(item.n), at, item.host, item.key, item.reason or "taken in")
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + f"<td><pre>{escape(body)}</pre></td></tr>"


def _readable(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body, indent=1, ensure_ascii=False)
