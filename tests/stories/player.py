"""Plays the stories in Markdown files against a running Callboard and says where it differs.

Usage: python -m tests.stories.player [STORY.md ...]       all stories beside this file when none is named

Where: CALLBOARD_URL and CALLBOARD_KEY, or CALLBOARD_HOME (default .callboard) with its dev-key and endpoints.json.
Shell steps find `callboard` on PATH and inherit the environment, so CALLBOARD_HOME has to be set for them.

A story is prose with fenced blocks.

    ```http                          a request, then => status, then the expected JSON
    POST /api/v1/agents/{agent}/command
    Idempotency-Key: first
    {"type": "run_tool"}
    => 202
    {"jobId": "@save:job"}
    ```

    ```events                        a stream, followed until the last of these types was seen, in this order
    GET /api/v1/agent-sessions/{session}/events
    => session.started, command.completed
    ```

    ```sh                            a shell command, then => exit code, then lines that its output must contain
    callboard agent list-sessions
    => 0
    hello-world
    ```

Expected JSON is matched as a subset: objects may have more keys, lists must have as many items. A string that begins
with @ is a matcher: @any, @string, @number, @time (RFC 3339), @id, @null, @absent (of a key), @save:NAME (anything,
kept as {NAME}), @has:TEXT, @min:N, @len:N (of a list). `poll` before `=>` repeats a request for up to 60 s until the
answer fits. {NAME} is replaced in paths, headers and bodies; {run} is a fresh word.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
_BLOCK = re.compile(r"^```(http|events|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_POLL_SECONDS, _POLL_EVERY = 60, 0.2
_FOLLOW_SECONDS = 30
_SHELL_SECONDS = 120
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Names = dict[str, str]

_MATCHERS: dict[str, Callable[[Any, str], bool]] = {
    "any": lambda _, __: True,
    "string": lambda got, _: isinstance(got, str) and got != "",
    "number": lambda got, _: isinstance(got, int | float) and not isinstance(got, bool),
    "time": lambda got, _: isinstance(got, str) and bool(_TIME.match(got)),
    "id": lambda got, _: isinstance(got, str) and 1 <= len(got) <= 128,
    "null": lambda got, _: got is None,
    "has": lambda got, text: text in json.dumps(got, ensure_ascii=False),
    "min": lambda got, least: isinstance(got, int | float) and got >= float(least),
    "len": lambda got, length: isinstance(got, list) and len(got) == int(length),
    "save": lambda got, _: got is not None,
}


class DiffersError(Exception):
    """The answer differs from the story."""


def fill(text: str, names: Mapping[str, str]) -> str:
    """Replaces known names by their values."""
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), text)


def match(want: Any, got: Any, names: Names, path: str = "$") -> None:
    """Compares an answer with what the story expects; raises DiffersError."""
    if isinstance(want, str) and want.startswith("@"):
        _match_by(want, got, names, path)
    elif isinstance(want, dict):
        _match_object(want, got, names, path)
    elif isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            raise DiffersError(f"{path}: {got!r} is no list of {len(want)}")
        for index, value in enumerate(want):
            match(value, got[index], names, f"{path}[{index}]")
    else:
        filled = fill(want, names) if isinstance(want, str) else want
        if filled != got or isinstance(want, bool) != isinstance(got, bool):
            raise DiffersError(f"{path}: {got!r} instead of {want!r}")


def _match_by(want: str, got: Any, names: Names, path: str) -> None:
    kind, _, argument = fill(want[1:], names).partition(":")
    fits = _MATCHERS.get(kind)
    if fits is None:
        raise DiffersError(f"{path}: the story has an unknown matcher {want}")
    if not fits(got, argument):
        raise DiffersError(f"{path}: {got!r} is not {want}")
    if kind == "save":
        names[argument] = got if isinstance(got, str) else json.dumps(got)


def _match_object(want: Mapping[str, Any], got: Any, names: Names, path: str) -> None:
    if not isinstance(got, dict):
        raise DiffersError(f"{path}: {got!r} is no object")
    for key, value in want.items():
        if value == "@absent":
            if key in got:
                raise DiffersError(f"{path}.{key} is there")
            continue
        if key not in got:
            raise DiffersError(f"{path}.{key} is missing; there are {sorted(got)}")
        match(value, got[key], names, f"{path}.{key}")


def _target() -> tuple[str, str]:
    """Returns the URL and the key of the Callboard under test."""
    url, key = os.environ.get("CALLBOARD_URL"), os.environ.get("CALLBOARD_KEY")
    home = Path(os.environ.get("CALLBOARD_HOME", ".callboard"))
    if not key:
        key = (home / "dev-key").read_text().strip()
    endpoints = home / "endpoints.json"
    if not url and endpoints.exists():
        url = json.loads(endpoints.read_text()).get("http")
    url = url or "http://127.0.0.1:8080"
    return (url if "://" in url else f"http://{url}").rstrip("/"), key


def _request(
    method: str, path: str, headers: Mapping[str, str], body: str, accept: str = "application/json"
) -> urllib.request.Request:
    url, key = _target()
    standard = {"Authorization": f"Bearer {key}", "Accept": accept}
    if body:
        standard["Content-Type"] = "application/json"
    return urllib.request.Request(  # noqa: S310 - the URL is the caller's own
        url + path, body.encode() if body else None, {**standard, **headers}, method=method
    )


def _send(request: urllib.request.Request) -> tuple[int, bytes]:
    """Returns the status and body of an answer; status 0 if there is none."""
    try:
        with _OPENER.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


def call(block: str, names: Names) -> None:
    """Plays a block of `http`; raises DiffersError."""
    asked, _, expected = block.partition("\n=> ")
    first, *rest = fill(asked, names).split("\n")
    method, path = first.split(" ", 1)
    headers = {}
    while rest and re.match(r"[A-Za-z-]+: ", rest[0]):
        name, _, value = rest.pop(0).partition(": ")
        headers[name] = value
    polls = bool(rest) and rest[-1].strip() == "poll"
    body = fill("\n".join(rest[:-1] if polls else rest).strip(), names)
    status, _, text = expected.partition("\n")
    end = time.monotonic() + (_POLL_SECONDS if polls else 0)
    while True:
        code, raw = _send(_request(method, path, headers, body))
        try:
            _check(code, raw, status, text, names)
        except (DiffersError, ValueError) as error:
            if time.monotonic() > end:
                raise DiffersError(str(error)) from None
            time.sleep(_POLL_EVERY)
        else:
            return


def _check(code: int, raw: bytes, status: str, text: str, names: Names) -> None:
    if code != int(status):
        raise DiffersError(f"{code} instead of {status}: {raw[:400].decode(errors='replace')}")
    if text.strip():
        match(json.loads(text), json.loads(raw), names)


def follow(block: str, names: Names) -> None:
    """Plays a block of `events`; raises DiffersError."""
    asked, _, expected = fill(block, names).partition("\n=> ")
    first, *rest = asked.strip().split("\n")
    method, path = first.split(" ", 1)
    headers = dict(line.split(": ", 1) for line in rest if ": " in line and not line.startswith("{"))
    body = "\n".join(line for line in rest if line.startswith("{"))
    left = [type_.strip() for type_ in expected.replace("\n", " ").split(",")]
    seen: list[str] = []
    end = time.monotonic() + _FOLLOW_SECONDS
    try:
        request = _request(method, path, headers, body, "text/event-stream")
        with _OPENER.open(request, timeout=_FOLLOW_SECONDS) as answer:
            for line in answer:
                if line.startswith(b"event:"):
                    seen.append(line[6:].strip().decode())
                    if left and seen[-1] == left[0]:
                        left.pop(0)
                if not left or time.monotonic() > end:
                    break
    except urllib.error.HTTPError as error:
        raise DiffersError(f"{error.code}: {error.read()[:400].decode(errors='replace')}") from None
    except OSError as error:
        raise DiffersError(f"{error}; saw {seen}") from None
    if left:
        raise DiffersError(f"waited for {left}; saw {seen}")


def shell(block: str, names: Names) -> None:
    """Plays a block of `sh`; raises DiffersError."""
    command, _, expected = fill(block, names).partition("\n=> ")
    code, _, text = expected.partition("\n")
    try:
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True, text=True, timeout=_SHELL_SECONDS, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DiffersError(f"no end in {_SHELL_SECONDS} s") from None
    if done.returncode != int(code):
        raise DiffersError(f"exit {done.returncode} instead of {code}: {(done.stdout + done.stderr)[-600:]}")
    for line in filter(None, text.split("\n")):
        if line not in done.stdout:
            raise DiffersError(f"{line!r} is not in: {done.stdout[-600:]}")


_STEPS: dict[str, Callable[[str, Names], None]] = {"http": call, "events": follow, "sh": shell}


def play(story: Path) -> int:
    """Plays a story, prints the differences, and returns the number of steps with one."""
    names, failed, count = {"run": secrets.token_hex(3)}, 0, 0
    text = story.read_text()
    for block in _BLOCK.finditer(text):
        count += 1
        line = text[: block.start()].count("\n") + 2
        try:
            _STEPS[block[1]](block[2].rstrip("\n"), names)
        except DiffersError as error:
            failed += 1
            sys.stdout.write(f"{story.name}:{line}: {block[2].splitlines()[0]}\n    {error}\n")
    sys.stdout.write(f"{story.name}: {count - failed} of {count} steps as described\n")
    return failed


def main() -> int:
    """Plays the stories of the command line; returns 1 if one differs."""
    if "--help" in sys.argv:
        sys.stdout.write(__doc__ or "")
        return 0
    stories = [Path(name) for name in sys.argv[1:]] or sorted(_HERE.glob("*.md"))
    return 1 if sum(play(story) for story in stories if story.name != "README.md") else 0


if __name__ == "__main__":
    sys.exit(main())
