"""Runs the vectors, outputs of Segment's published packages, and sorts each row: equal, refused, known, wrong.

`known_differences.json` is the reviewed list: by name, why ours differs on purpose, and the rows where it shows. A row
that differs and is not on it is wrong, and so is a row on it that is equal after all.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors"
DIFFERENCES = HERE / "known_differences.json"
KNOWN = {row: name for name, difference in json.loads(DIFFERENCES.read_text()).items() for row in difference["rows"]}


def rows(name: str) -> Iterator[dict[str, Any]]:
    with (VECTORS / f"{name}.jsonl").open() as lines:
        yield from map(json.loads, lines)


@dataclass
class Report:
    """How many rows came out how, by file and by tag; and the wrong ones."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    tags: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, row: dict[str, Any], came_out: str) -> None:
        known = row["id"] in KNOWN
        if came_out == "different" and known:
            came_out = f"known: {KNOWN[row['id']]}"
        elif came_out == "different" or known:
            self.wrong.append(row["id"])
            came_out = "wrong"
        self.counts[came_out] += 1
        for tag in row["tags"]:
            self.tags.setdefault(tag, Counter())[came_out] += 1

    def __str__(self) -> str:
        by_tag = "\n".join(f"  {tag}: {_shown(counts)}" for tag, counts in sorted(self.tags.items()))
        return f"{self.name}: {_shown(self.counts)}\n{by_tag}"


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def run(name: str, compare: Callable[[dict[str, Any]], str]) -> Report:
    report = Report(name)
    for row in rows(name):
        report.add(row, compare(row))
    print(report)
    return report


def same_json(one: Any, other: Any) -> bool:
    """Equal as JSON: numbers by value, 1 not true, the order of members no matter."""
    return json.dumps(_plain(one), sort_keys=True) == json.dumps(_plain(other), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
