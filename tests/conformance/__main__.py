"""`make conformance`: every vector through our engines; prints what came out by file and tag, fails if any is wrong.

What the vendors' connectors do with `actions.jsonl` is held by their own tests, against the same list of differences.
"""

import argparse
import json
import sys

from tests.conformance.engines import COMPARED
from tests.connectors import vectors


def main() -> int:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--only", action="append", choices=COMPARED, metavar="FILE", help="this file; may be repeated")
    wrong = []
    for name in parser.parse_args().only or COMPARED:
        wrong += vectors.run(name, COMPARED[name]).wrong
    for name, difference in json.loads(vectors.DIFFERENCES.read_text()).items():
        print(f"{name} ({len(difference['rows'])} rows): {difference['why']}")
    print(f"wrong: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
