"""Writes to an agent's stdin fail once nobody reads it, and marks tell this runner's agents from those of others."""

import asyncio
import os
import select
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.runner.executors.mcp import orphans
from services.runner.executors.mcp.pipes import PipeWriter
from tests.support.eventually import eventually


class Pipe:
    """A pipe whose writing end is on the event loop."""

    def __init__(self) -> None:
        self.reads, writes = os.pipe()
        self.file = os.fdopen(writes, "wb", buffering=0)
        self.writer = PipeWriter()

    async def connect(self) -> None:
        await asyncio.get_running_loop().connect_write_pipe(lambda: self.writer, self.file)

    def is_full(self) -> bool:
        return not select.select([], [self.file], [], 0)[1]


@pytest.fixture
async def pipe() -> AsyncIterator[Pipe]:
    pipe = Pipe()
    await pipe.connect()
    yield pipe
    pipe.writer.close()
    await eventually(lambda: pipe.file.closed)


async def test_write_to_a_closed_pipe_raises(pipe: Pipe) -> None:
    await pipe.writer.write(b"first")
    assert os.read(pipe.reads, 100) == b"first"
    os.close(pipe.reads)

    async def is_rejected() -> bool:
        try:
            await pipe.writer.write(b"second")
        except BrokenPipeError:
            return True
        return False

    await eventually(is_rejected)


async def test_write_that_waits_for_room_raises_when_the_pipe_is_closed(pipe: Pipe) -> None:
    waiting = asyncio.create_task(pipe.writer.write(b"x" * 200_000))
    await eventually(pipe.is_full)
    assert not waiting.done()
    os.close(pipe.reads)
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(waiting, 5)


async def test_write_that_waits_for_room_continues_when_the_pipe_is_read(pipe: Pipe) -> None:
    waiting = asyncio.create_task(pipe.writer.write(b"x" * 200_000))
    await eventually(pipe.is_full)
    read = 0

    def is_written() -> bool:
        nonlocal read
        with suppress(BlockingIOError):
            while piece := os.read(pipe.reads, 65536):
                read += len(piece)
        return waiting.done()

    os.set_blocking(pipe.reads, False)
    await eventually(is_written)
    await waiting
    assert read > 100_000
    os.close(pipe.reads)


async def test_unconnected_pipe_rejects_writes_and_can_be_closed() -> None:
    """The process may fail to start before its pipes are connected."""
    writer = PipeWriter()
    with pytest.raises(BrokenPipeError):
        await writer.write(b"x")
    writer.close()


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc without processes, and a folder for the agents' directories."""
    proc = tmp_path / "proc"
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/pid").touch()
    monkeypatch.setattr(orphans, "_PROC", proc)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return proc


def test_sweep_removes_the_directories_of_dead_runners_of_this_container_only(proc: Path) -> None:
    live = orphans.new_mark()
    namespace = live.split(":")[0]
    kept = [orphans.new_directory(mark) for mark in (live, "12345:1:77:aa", f"{namespace}:nobody:77:aa")]
    removed = [orphans.new_directory(mark) for mark in (orphans.new_mark(), f"{namespace}:1:77:aa")]
    assert orphans.sweep(lambda mark: mark == live) == []
    assert [directory.exists() for directory in kept] == [True, True, True]
    assert [directory.exists() for directory in removed] == [False, False]


def test_sweep_finds_nothing_on_a_system_without_proc(
    proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_PROC", tmp_path / "missing")
    directory = orphans.new_directory(orphans.new_mark())
    assert orphans.sweep(lambda _: True) == []
    assert orphans.living_members(os.getpgid(0)) == []
    assert directory.exists()
