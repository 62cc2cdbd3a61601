"""Before Django reads its settings: servers for the tests, and which tests this machine can run.

Loaded by `-p` in pyproject.toml, since a conftest comes too late for the settings.
"""

import os
import shutil
from pathlib import Path

import pytest

from integrations import embedded

BUILD = Path(__file__).resolve().parent.parent / "build" / "test"  # a running demo is not touched
NEEDS = {"node": ["node", "npm"], "browser": ["chromium"]}
MUST = os.environ.get("SWITCHYARD_CI") == "1"  # nothing may be missing

missing = {mark: gone for mark, programs in NEEDS.items() if (gone := [p for p in programs if not shutil.which(p)])}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config):
    unset = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
    if MUST and (unset or missing):
        raise pytest.UsageError(f"SWITCHYARD_CI=1, but missing: {', '.join([*unset, *sum(missing.values(), [])])}.")
    running = embedded.servers(BUILD)
    try:
        static = embedded.made(BUILD / "static", mode=0o755)  # nothing in it, but WhiteNoise wants it to be there
        os.environ.update(running.__enter__() | embedded.secret_keys(BUILD) | {"STATIC_ROOT": str(static)})
    except embedded.Unavailable as reason:
        raise pytest.UsageError(str(reason)) from None
    early_config.add_cleanup(lambda: running.__exit__(None, None, None))
    return (yield)


def pytest_report_header():
    if missing:
        return "not selected: " + ", ".join(f"tests marked {m} ({' and '.join(p)} missing)" for m, p in missing.items())
    return None


def pytest_collection_modifyitems(config, items):
    barred = [item for item in items if any(item.get_closest_marker(mark) for mark in missing)]
    if barred:
        config.hook.pytest_deselected(items=barred)
        items[:] = [item for item in items if item not in barred]
