"""The vendors in one process, so that the demo and the tests need no accounts: see `server` for how it is used."""

from connectors.sandbox.server import Sandbox

__all__ = ["Sandbox"]
