"""Where connectors are found: every module in the catalog is one, without being registered anywhere."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TypeVar

from connectors import catalog
from connectors.definitions import DestinationDefinition, SourceDefinition

T = TypeVar("T")


def get_destination(slug: str) -> DestinationDefinition:
    """The connector that sends to this vendor; KeyError if there is none."""
    return _found(destinations(), slug, "destination")


def get_source(slug: str) -> SourceDefinition:
    """The connector that receives from this vendor; KeyError if there is none."""
    return _found(sources(), slug, "source")


@cache
def destinations() -> MappingProxyType[str, DestinationDefinition]:
    """Every vendor that can receive, by slug."""
    found = (getattr(module, "destination", None) for module in _modules())
    return MappingProxyType({d.slug: d for d in found if isinstance(d, DestinationDefinition)})


@cache
def sources() -> MappingProxyType[str, SourceDefinition]:
    """Every vendor that can send, by slug."""
    found = (getattr(module, "source", None) for module in _modules())
    return MappingProxyType({s.slug: s for s in found if isinstance(s, SourceDefinition)})


def _modules() -> list[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(catalog.__path__))
    return [import_module(f"{catalog.__name__}.{name}") for name in names]


def _found(known: MappingProxyType[str, T], slug: str, kind: str) -> T:
    if slug not in known:
        raise KeyError(f"There is no {kind} connector {slug!r}; there are: {', '.join(known)}.")
    return known[slug]
