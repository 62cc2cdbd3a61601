"""Serves the emulated vendors, for the demo and for trying things out without accounts."""

import ipaddress
import json
import signal
import threading
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.sandbox import Sandbox


class Command(BaseCommand):
    help = "Serve the emulated vendors on a loopback address, until stopped."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8072)
        parser.add_argument(
            "--host", default="127.0.0.1", help="a loopback address; it is not made for others to reach"
        )
        parser.add_argument("--seed", type=Path, help="a JSON file as POST /__sandbox__/seed takes it")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, seed = options["host"], options["port"], options["seed"]
        try:
            if not ipaddress.ip_address(host).is_loopback:
                raise ValueError
        except ValueError:
            raise CommandError(f"{host} is not a loopback address; the sandbox listens on those only.") from None
        try:
            sandbox = Sandbox(host, port)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port."
            ) from None
        if seed:
            try:
                sandbox.seed(**json.loads(seed.read_text()))
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise CommandError(f"Cannot read the seed in {seed}: {error}") from None
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with sandbox:
            self.stdout.write(f"The sandbox is at http://{host}:{sandbox.port}")
            stop.wait()
