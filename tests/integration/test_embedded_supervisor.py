"""The supervisor of processes, with small programs as children."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from libs.embedded import (
    ChildError,
    ChildSpec,
    RestartPolicy,
    Supervisor,
    end_leftovers,
)
from libs.embedded import child as child_module
from libs.embedded.leftovers import process_started
from tests.support.eventually import eventually

_QUICK = RestartPolicy(restarts=2, within=60, first_delay=0.01)
_READY = "import signal, time; open('ready', 'w').close(); print('at work', flush=True);"
_WORK = _READY + "signal.pause()"
_STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + _WORK
_BROKEN = "print('this is why'); raise SystemExit(3)"
_GRANDCHILD = (
    "import subprocess; child = subprocess.Popen(['sleep', '600']);"
    "open('grandchild', 'w').write(str(child.pid));" + _WORK
)
_PARENT = """
import asyncio, sys
from pathlib import Path
from libs.embedded import Supervisor
from tests.integration.test_embedded_supervisor import child
async def main():
    folder = Path(sys.argv[1])
    async with Supervisor(folder, folder) as supervisor:
        await supervisor.start(child(folder, "worker"))
        print(supervisor.pids["worker"], flush=True)
        await supervisor.until_failure()
asyncio.run(main())
"""


def child(folder: Path, name: str, program: str = _WORK, **changes: object) -> ChildSpec:
    """A child with a working folder of its own."""
    child_folder = folder / name
    child_folder.mkdir(exist_ok=True)

    async def ready() -> bool:
        return (child_folder / "ready").exists()

    settings = {"ready_seconds": 10.0, "stop_steps": ((signal.SIGTERM, 0.2),), **changes}
    argv = [sys.executable, "-c", program]
    return ChildSpec(name=name, argv=argv, environment={}, cwd=child_folder, ready=ready, **settings)  # type: ignore[arg-type]


async def test_each_child_leads_its_own_process_group_and_writes_a_log(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        await supervisor.start(child(tmp_path, "one"), child(tmp_path, "two"))
        for pid in supervisor.pids.values():
            assert os.getpgid(pid) == pid != os.getpgid(0)
        await eventually(lambda: (tmp_path / "two.log").read_text() == "at work\n")
    assert not list(tmp_path.glob("*.json"))


async def test_crashed_child_is_restarted(tmp_path: Path) -> None:
    restarted: list[tuple[str, int]] = []
    spec = child(tmp_path, "one")
    async with Supervisor(tmp_path, tmp_path, _QUICK, lambda *seen: restarted.append(seen)) as supervisor:
        await supervisor.start(spec)
        before = supervisor.pids["one"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: restarted)
        assert restarted == [("one", supervisor.pids["one"])]
        assert supervisor.pids["one"] != before


async def test_child_that_keeps_crashing_stops_all_with_its_last_output(tmp_path: Path) -> None:
    program = _READY + "time.sleep(0.3); print('the last word'); exit(4)"
    async with Supervisor(tmp_path, tmp_path, _QUICK) as supervisor:
        await supervisor.start(child(tmp_path, "steady"), child(tmp_path, "fragile", program))
        steady = supervisor.pids["steady"]
        with pytest.raises(ChildError, match=r"fragile ended with 4, 3 times in 60 s") as failure:
            await supervisor.until_failure()
        assert failure.value.last_lines == ["at work", "the last word"] * 3
    assert process_started(steady) is None


async def test_crashes_before_the_period_do_not_count(tmp_path: Path) -> None:
    restarted: list[int] = []
    policy = RestartPolicy(restarts=1, within=0.01, first_delay=0.02)
    async with Supervisor(tmp_path, tmp_path, policy, lambda _name, pid: restarted.append(pid)) as supervisor:
        await supervisor.start(child(tmp_path, "one"))
        for crashes in range(1, 4):
            os.kill(supervisor.pids["one"], signal.SIGKILL)
            await eventually(lambda: len(restarted) >= crashes)  # noqa: B023 - awaited at once


async def test_restart_that_fails_counts_as_a_crash(tmp_path: Path) -> None:
    """It is not reported as a restart."""
    restarted: list[str] = []
    program = "import os; os.path.exists('once') and exit(5); open('once', 'w').close();" + _WORK
    ready = tmp_path / "one" / "ready"
    spec = child(tmp_path, "one", program, before_start=lambda: ready.unlink(missing_ok=True))
    async with Supervisor(tmp_path, tmp_path, _QUICK, lambda name, _pid: restarted.append(name)) as supervisor:
        await supervisor.start(spec)
        os.kill(supervisor.pids["one"], signal.SIGKILL)
        with pytest.raises(ChildError, match="one ended with 5, 3 times"):
            await supervisor.until_failure()
    assert restarted == []


async def test_kill_ends_all_children_at_once(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        await supervisor.start(child(tmp_path, "one", _STUBBORN), child(tmp_path, "two"))
        pids = supervisor.pids.values()
        supervisor.kill()
        await eventually(lambda: not any(process_started(pid) for pid in pids))
    assert not list(tmp_path.glob("*.json"))


async def test_long_log_is_renamed_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_LOG_LIMIT", 10)
    (tmp_path / "one.log").write_text("of an earlier run")
    (tmp_path / "two.log").write_text("short\n")
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        await supervisor.start(child(tmp_path, "one"), child(tmp_path, "two"))
        await eventually(lambda: (tmp_path / "one.log").read_text() == "at work\n")
        await eventually(lambda: (tmp_path / "two.log").read_text() == "short\nat work\n")
    assert (tmp_path / "one.log.1").read_text() == "of an earlier run"


async def test_child_that_exits_before_it_is_ready_fails_the_start_at_once(tmp_path: Path) -> None:
    slow = child(tmp_path, "slow", "import signal; signal.pause()", ready_seconds=60.0)
    async with asyncio.timeout(10), Supervisor(tmp_path, tmp_path) as supervisor:
        with pytest.raises(ChildError, match="broken ended with 3 before it was ready") as failure:
            await supervisor.start(slow, child(tmp_path, "broken", _BROKEN))
    assert failure.value.last_lines == ["this is why"]


async def test_child_that_does_not_become_ready_fails_the_start(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        spec = child(tmp_path, "slow", "import signal; signal.pause()", ready_seconds=0.3)
        with pytest.raises(ChildError, match=r"slow was not ready within 0.3 s"):
            await supervisor.start(spec)
        pid = supervisor.pids["slow"]
    assert process_started(pid) is None


async def test_missing_program_fails_the_start_with_its_name(tmp_path: Path) -> None:
    spec = ChildSpec(name="gone", argv=["/no/such/program"], environment={}, ready=asyncio.Event().wait)
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        with pytest.raises(ChildError) as failure:
            await supervisor.start(spec)
    assert failure.value.last_lines == ["cannot start /no/such/program: No such file or directory"]


async def test_child_that_ignores_sigterm_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        await supervisor.start(child(tmp_path, "stubborn", _STUBBORN))
        pid = supervisor.pids["stubborn"]
    assert process_started(pid) is None


async def test_processes_started_by_a_child_end_with_it(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        await supervisor.start(child(tmp_path, "parent", _GRANDCHILD))
        grandchild = int((tmp_path / "parent" / "grandchild").read_text())
        assert process_started(grandchild)
    await eventually(lambda: process_started(grandchild) is None)


async def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    say = (
        "import signal, sys, pathlib, time\n"
        "def end(*_): open('../order', 'a').write(pathlib.Path.cwd().name + ' '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); pathlib.Path('ready').touch(); signal.pause()"
    )
    patient = ((signal.SIGTERM, 10.0),)
    async with Supervisor(tmp_path, tmp_path) as supervisor:
        for name in ("first", "second", "third"):
            await supervisor.start(child(tmp_path, name, say, stop_steps=patient))
    assert (tmp_path / "order").read_text() == "third second first "


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells a child that its parent died")
async def test_children_of_a_killed_supervisor_end(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=root
    )
    assert parent.stdout is not None
    worker = int(await parent.stdout.readline())
    assert process_started(worker)
    parent.kill()
    await parent.communicate()
    await eventually(lambda: process_started(worker) is None)
    assert end_leftovers(tmp_path) == [], "there is nothing left to end"


async def test_cancelled_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    pids: dict[str, int] = {}

    async def run() -> None:
        async with Supervisor(tmp_path, tmp_path) as supervisor:
            await supervisor.start(child(tmp_path, "stubborn", _STUBBORN))
            pids.update(supervisor.pids)
            await supervisor.until_failure()

    task = asyncio.create_task(run())
    await eventually(lambda: pids)
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    task.cancel()  # during the orderly stop
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process_started(pids["stubborn"]) is None
