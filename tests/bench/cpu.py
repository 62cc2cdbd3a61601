"""What processes have used of the processors, and how much memory they hold: from /proc, so on Linux only."""

import os
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def seconds(pids: Iterable[int]) -> dict[int, float]:
    """Pid → seconds, in the program and in the kernel for it; those that are gone are left out."""
    return {pid: (int(stat[11]) + int(stat[12])) * TICK for pid in pids if (stat := _stat(pid))}


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds used between two readings, also by those that came in between."""
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def session(leader: int) -> list[int]:
    """The process that was started with a session of its own, and everything it started."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if (stat := _stat(pid)) and int(stat[3]) == leader]


def megabytes(pid: int) -> float:
    """What the process holds in memory (RSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def _stat(pid: int) -> list[str]:
    """The fields after the program's name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
