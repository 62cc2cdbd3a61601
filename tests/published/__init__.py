"""Segment's own packages as they are published, installed into the build folder by npm; never committed."""

import fcntl
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from integrations import demo

HERE = Path(__file__).parent
FOLDER = demo.BUILD / "published"
DEFINITIONS = HERE.parent / "vectors" / "definitions.json"
DESTINATIONS, VERSION = "@segment/action-destinations", "3.497.0"


def installed() -> Path:
    """The folder in which Node finds them.

    Of the destinations only the package itself is fetched: those we need want nothing but actions-core, and the others
    want hundreds of packages more.
    """
    if shutil.which("npm") is None:
        raise RuntimeError("Segment's packages need Node.js with npm; install it.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        lock, place = HERE / "package-lock.json", FOLDER / "node_modules" / DESTINATIONS
        packed = FOLDER / f"segment-action-destinations-{VERSION}.tgz"
        if not (packed.exists() and place.exists() and (FOLDER / lock.name).read_bytes() == lock.read_bytes()):
            for file in (lock.with_name("package.json"), lock):
                shutil.copy(file, FOLDER)
            _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
            _npm("pack", f"{DESTINATIONS}@{VERSION}")
            with tarfile.open(packed) as archive:
                archive.extractall(FOLDER, filter="data")
            (FOLDER / "package").rename(place)
    return FOLDER


def subscription(destination: str, action: str, /, trigger: str = "", **fields: Any) -> dict[str, Any]:
    """A mapping as Segment keeps it, with Segment's default trigger and fields where nothing else is said."""
    declared = json.loads(DEFINITIONS.read_text())[destination]["actions"][action]
    defaults = {key: field["default"] for key, field in declared["fields"].items() if "default" in field}
    subscribe = trigger or declared["default_subscription"]
    return {"partnerAction": action, "subscribe": subscribe, "mapping": defaults | fields}


def _npm(*command: str) -> None:
    subprocess.run(["npm", *command, "--loglevel=error"], cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)
