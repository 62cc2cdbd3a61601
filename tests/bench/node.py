"""A peer in Node: a process of its own among Segment's published packages, asked for one round at a time."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import published
from tests.bench.stage import Took


class Node:
    def __init__(self, script: str, *arguments: str) -> None:
        command = ["node", str(Path(__file__).with_name(script)), *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=published.FOLDER, stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def take(self, **asked: Any) -> tuple[Took, Any]:
        """What the round took, and what came out last."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("Segment's code ended before its answer; see what Node wrote above.")
        took = json.loads(answer)
        return Took(took["seconds"], took["cpu"]), took.get("last")


@contextmanager
def node(script: str, *arguments: str) -> Iterator[Node]:
    """The script beside this file; it ends with the context."""
    published.installed()
    peer = Node(script, *arguments)
    try:
        yield peer
    finally:
        peer.process.kill()
        peer.process.wait()
