"""Runs the whole suite until a signal stops it or a part fails for good."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from libs.embedded import (
    FileLock,
    Supervisor,
    end_leftovers,
)
from services.cli.database import ensure_development_key, migrate
from services.cli.errors import CliError
from services.cli.home import Home
from services.cli.up.embedded import Engines, start_engines
from services.cli.up.output import UpOutput
from services.cli.up.processes import Services, describe_services
from services.cli.up.settings import Addresses, UpSettings

DescribeServices = Callable[[Addresses, Engines, Home, int], Services]


async def run_up(settings: UpSettings, output: UpOutput, describe: DescribeServices = describe_services) -> None:
    """Start everything, and return after SIGINT, SIGTERM or SIGHUP.

    Raises CliError and EngineError before anything is started, and ChildError if a part fails. When it returns or
    raises, all started parts have stopped, in reverse order. A second signal kills the parts that still run.
    """
    home = Home(settings.home)
    home.make()
    try:
        await _run_on(home, settings, output, describe)
    except PermissionError as error:
        raise CliError(f"{error.filename}: {error.strerror}; did another user create this home?") from error


async def _run_on(home: Home, settings: UpSettings, output: UpOutput, describe: DescribeServices) -> None:
    with FileLock(home.lock, f"the home {home.path}"), ExitStack() as held:
        addresses = Addresses.claim(settings)
        for name in end_leftovers(home.run):
            output.line(f"ended {name}, left behind by an earlier run")
        home.write_servers()
        held.callback(home.clear)
        await _until_stopped(Suite(settings, output, home, addresses, describe), held)


class Suite:
    """One run of all parts on one home."""

    def __init__(
        self, settings: UpSettings, output: UpOutput, home: Home, addresses: Addresses, describe: DescribeServices
    ) -> None:
        self._settings = settings
        self._output = output
        self._home = home
        self._addresses = addresses
        self._describe = describe
        self._metrics: dict[str, str] = {}
        self.supervisor = Supervisor(home.logs, home.run, on_restart=self._restarted)

    async def run(self, held: ExitStack) -> None:
        """Start the parts in order. Ends only with an error or when cancelled."""
        async with self.supervisor:
            engines = await self._start_engines(held)
            self._home.write_admin_url(engines.admin_url)
            with self._step("database migrated"):
                await asyncio.to_thread(migrate, engines.admin_url)
                await asyncio.to_thread(ensure_development_key, engines.admin_url, self._home.dev_key)
            services = self._describe(self._addresses, engines, self._home, self._settings.runners)
            self._metrics = dict(services.metrics)
            with self._step("services ready"):
                await self.supervisor.start(*services.specs)
            self._write_endpoints()
            self._output.up(self._addresses, self._home)
            await self.supervisor.until_failure()

    def stopping(self) -> None:
        """Print that the suite is stopping."""
        self._output.line("stopping; do it again to kill what still runs")

    async def _start_engines(self, held: ExitStack) -> Engines:
        with self._step("engines ready"):
            return await start_engines(self.supervisor, self._settings, self._home, held)

    @contextmanager
    def _step(self, done: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self._output.line(f"{done} ({time.monotonic() - begun:.1f} s)")

    def _restarted(self, name: str, pid: int) -> None:
        self._output.line(f"{name} was restarted (pid {pid})")
        if self._metrics:
            self._write_endpoints()

    def _write_endpoints(self) -> None:
        self._home.write_endpoints(
            {
                "http": self._addresses.http,
                "session": self._addresses.session,
                "command": self._addresses.command,
                "metrics": {name: f"http://{address}/metrics" for name, address in self._metrics.items()},
                "pids": {"up": os.getpid(), **self.supervisor.pids},
            }
        )


async def _until_stopped(suite: Suite, held: ExitStack) -> None:
    """Run the suite. The first signal stops it in order, a second one kills it."""
    work = asyncio.create_task(suite.run(held), name="up")
    is_stopping = False

    def stop() -> None:
        nonlocal is_stopping
        if is_stopping:
            suite.supervisor.kill()
        else:
            is_stopping = True
            work.cancel()
            suite.stopping()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if not is_stopping:
            raise
