"""Keeps workers alive, each forked from this process, which has everything imported: a killed one is back at once.

A worker that starts from nothing takes two seconds of CPU; four kills a second would leave nobody time to work. Run as
`python -m tests.chaos.nursery LOG COMMAND…`; a line `4` on its standard input says how many to keep, its end ends them
all. Births and deaths are told on standard output: name, process id, `born` or `gone`.
"""

import os
import select
import signal
import sys
from pathlib import Path

import django


def main() -> None:
    log, command = Path(sys.argv[1]), sys.argv[2:]
    django.setup()
    import celery.bin.worker  # noqa: F401 (what a worker will need)
    import kombu.transport.redis  # noqa: F401

    import integrations.tasks  # noqa: F401

    alive: dict[int, str] = {}
    wanted = born = 0
    while True:
        while alive and (pid := os.waitpid(-1, os.WNOHANG)[0]):
            print(alive.pop(pid), pid, "gone", flush=True)
        while len(alive) < wanted:
            born += 1
            name = f"worker-{born}"
            pid = _fork(name, log, command)
            alive[pid] = name
            print(name, pid, "born", flush=True)
        if select.select([0], [], [], 0.02)[0]:
            line = os.read(0, 100).decode().split()
            if not line:
                break
            wanted = int(line[-1])
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _fork(name: str, log: Path, command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    with log.open("ab") as output, open(os.devnull, "rb") as nothing:
        for ours, theirs in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(ours.fileno(), theirs)
    os.environ["PGAPPNAME"] = name  # tests/chaos/witness.sql writes down whose claim it is
    sys.argv = [*command, "--hostname", f"{name}@chaos"]
    from celery.__main__ import main as worker

    try:
        worker()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
