"""`make bench`: take the figures and merge them into build/bench.json."""

import argparse
import json
import os
import signal
import sys

from integrations import demo, embedded
from tests.bench import engines, peers
from tests.bench.figures import FIGURES as OF_THE_WHOLE
from tests.bench.figures import FULL, QUICK
from tests.bench.results import line, merged

FIGURES = OF_THE_WHOLE | engines.FIGURES | peers.FIGURES
RESULTS = demo.BUILD / "bench.json"
HISTORY = 0  # events in the database before a measurement begins


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Switchyard beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within ten minutes")
    parser.add_argument("--only", action="append", choices=FIGURES, metavar="NAME", help="this figure; may be repeated")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    if not os.path.isdir("/proc/self"):
        print("Processor times are read from /proc, which only Linux has; run this on Linux.", file=sys.stderr)
        return 1
    takers = dict.fromkeys(FIGURES[name] for name in options.only or FIGURES)
    try:
        with embedded.servers(demo.BUILD / "bench") as urls:
            os.environ |= urls
            for take in takers:
                found = take(QUICK if options.quick else FULL)
                RESULTS.write_text(json.dumps(merged(_earlier(), found, quick=options.quick, rows=HISTORY), indent=2))
                for name, figure in found.items():
                    print(line(name, figure), flush=True)
    except KeyboardInterrupt:
        return 130
    except (embedded.Unavailable, RuntimeError) as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def _earlier() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
