"""`make chaos`: hurts a running Switchyard in every way there is a scenario for, and accounts for each event.

It ends with 1 if an acknowledged event is lost or stands in no book, or another promise of a scenario was not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from integrations import embedded
from integrations.demo import BUILD
from tests.chaos import yard
from tests.chaos.run import Run
from tests.chaos.scenarios import SCENARIOS, SERVERS_OF_OUR_OWN

BASE = BUILD / "chaos"
RESULTS = BUILD / "chaos.json"
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    names = {scenario.__name__: scenario for scenario in SCENARIOS}
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer events and shorter outages: under ten minutes")
    parser.add_argument("--scenario", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--seed", type=int, default=1, help="what is left to chance comes out the same (1)")
    parser.add_argument("--external", action="store_true", help="on DATABASE_URL and REDIS_URL, killing no server")
    options = parser.parse_args()
    wanted = [names[name] for name in options.scenario or names]
    if options.external:
        if not {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
            parser.error("--external needs DATABASE_URL and REDIS_URL, the servers to run on")
        wanted = [scenario for scenario in wanted if scenario not in SERVERS_OF_OUR_OWN]
    for ending in ENDINGS:
        signal.signal(ending, _end)
    try:
        return run(wanted, options)
    except KeyboardInterrupt:
        return 130
    except embedded.Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1


def run(wanted: list[Any], options: argparse.Namespace) -> int:
    entries = {}
    with ExitStack() as stack:
        BASE.mkdir(parents=True, exist_ok=True)
        ours = None if options.external else stack.enter_context(yard.servers(BASE))
        os.environ |= embedded.secret_keys(BASE)
        mould = stack.enter_context(closing(yard.Mould(_fresh("mould"))))
        mould.open()
        print(f"seed {options.seed}\n{HEADINGS}", flush=True)
        for scenario in wanted:
            began = time.monotonic()
            with closing(yard.Yard(_fresh(scenario.__name__), mould, ours)) as there:
                there.open()
                chance = random.Random(f"{options.seed} {scenario.__name__}")
                trial = Run(there, chance, quick=options.quick)
                scenario(trial)
                entry = trial.finish()
            entry["seconds"] = round(time.monotonic() - began)
            entries[scenario.__name__] = entry
            _keep(entries, options)
            print(_line(scenario.__name__, entry), flush=True)
    return 1 if any(entry["broken"] for entry in entries.values()) else 0


def _end(*signalled: object) -> None:
    """Stop; a second Ctrl-C does not leave half of it running."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _fresh(name: str) -> Path:
    """The folder of a scenario's ledger and logs, emptied."""
    folder = BASE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _keep(entries: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the results; a run of single scenarios leaves those of the others."""
    kept = json.loads(RESULTS.read_text())["scenarios"] if options.scenario and RESULTS.exists() else {}
    results = {"seed": options.seed, "quick": options.quick, "scenarios": kept | entries}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


HEADINGS = (
    f"{'scenario':24}{'acknowledged':>13}{'lost':>6}{'duplicates':>12}{'faults':>8}{'recovery p50/max':>18}{'took':>8}"
)


def _line(name: str, entry: dict[str, Any]) -> str:
    took = entry["recovery_s"]
    recovery = f"{took['p50']:.1f} / {took['max']:.1f} s" if took else "-"
    figures = f"{entry['acknowledged']:13}{entry['lost']:6}{entry['duplicates']:12}{entry['faults']:8}"
    return "\n    ✗ ".join([f"{name:24}{figures}{recovery:>18}{entry['seconds']:6} s", *entry["broken"]])


if __name__ == "__main__":
    sys.exit(main())
