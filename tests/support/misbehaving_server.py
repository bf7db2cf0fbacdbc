"""An MCP server over stdio that misbehaves on request. Without third-party modules it starts in 30 ms.

misbehaving_server.py <mode> [file]    the file gets each line that the server reads, and the process ids it starts
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MODE = sys.argv[1]
RECORD = Path(sys.argv[2]).open("a", buffering=1) if len(sys.argv) > 2 else None  # noqa: SIM115
GRANDCHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

tools = [
    "hold",
    "answer",
    "text",
    "bytes",
    "wrong",
    "refuse",
    "long",
    "grow",
    "sneak",
    "log",
    "last",
    "silence",
]
tools += ["environment", "numbers", "stick"]
FIRST = len(tools)
LISTS: dict[str, dict[str, Any]] = {  # answers to tools/list after a tool was added
    "mangled": {"result": {"tools": 7}},
    "unlisted": {"error": {"code": -32603, "message": "no list today"}},
}


def record(text: str) -> None:
    if RECORD:
        RECORD.write(text + "\n")


def write(line: bytes) -> None:
    os.write(1, line + b"\n") if len(line) < 4096 else write_all(line + b"\n")


def write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0"} | message).encode())


def answer(request: dict[str, Any], text: str) -> None:
    send({"id": request["id"], "result": {"content": [{"type": "text", "text": text}]}})


def listed() -> list[dict[str, Any]]:
    return [{"name": name, "inputSchema": {"type": "object"}} for name in tools]


def call(request: dict[str, Any]) -> None:
    name, arguments = request["params"]["name"], request["params"].get("arguments", {})
    head = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"' % request["id"]
    match name:
        case "hold":
            pass
        case "stick":
            time.sleep(600)
        case "text":
            write(head + rb"a\ud800b\u0000c" + b'"}]}}')
        case "bytes":
            write(head + b"a\xff\xfeb" + b'"}]}}')
        case "long":
            write(head + b"x" * arguments["bytes"] + b'"}]}}')
        case "numbers":
            head = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],' % request["id"]
            write(head + b'"structuredContent":{"big":123456789012345678901234567890}}}')
        case "wrong":
            send({"id": request["id"], "result": {"content": 7}})
        case "refuse":
            send({"id": request["id"], "error": {"code": arguments["code"], "message": "refused"}})
        case "grow" | "sneak":
            tools.append(arguments["name"])
            if name == "grow":
                send({"method": "notifications/tools/list_changed"})
            answer(request, "grown")
        case "log":
            params = {"level": "info", "logger": "odd", "data": "a line\x00"}
            send({"method": "notifications/message", "params": params})
            answer(request, "logged")
        case "last":
            answer(request, "last words")
            os._exit(0)
        case "silence":
            os.close(1)
        case "environment":
            seen = {"env": dict(os.environ), "cwd": str(Path.cwd()), "argv": sys.argv}
            files, core = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE))
            answer(request, json.dumps(seen | {"files": files, "core": core, "session": os.getsid(0)}))
        case _:
            answer(request, "an answer")


def handle(request: dict[str, Any]) -> None:
    match request.get("method"):
        case "initialize":
            information = {"name": "odd", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "serverInfo": information}
            send({"id": request["id"], "result": result | {"capabilities": {"tools": {"listChanged": True}}}})
        case "tools/list" if MODE in LISTS and len(tools) > FIRST:
            send({"id": request["id"]} | LISTS[MODE])
        case "tools/list":
            send({"id": request["id"], "result": {"tools": listed()}})
        case "resources/read" | "prompts/list" if MODE == "mangled":
            send({"id": request["id"], "result": {"contents": 7, "prompts": 7}})
        case "tools/call":
            call(request)
        case _ if "id" in request:
            send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})


def prepare() -> None:
    record(f"pid {os.getpid()}")
    match MODE:
        case "exit":
            sys.stderr.write("a reason for the operator\n")
            sys.exit(3)
        case "hang":
            time.sleep(600)
        case "babble":
            while True:
                write_all(b"y\n" * 10_000)
        case "banner":
            write(b"Welcome!\n\n{not json}\n[1]")
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "parent" | "runaway":
            child = subprocess.Popen([sys.executable, "-c", GRANDCHILD], start_new_session=MODE == "runaway")
            record(f"pid {child.pid}")
        case "flood":
            sys.stderr.write("x" * 1_000_000 + "the end of the flood\n")


def main() -> None:
    prepare()
    for line in sys.stdin:
        record(line.rstrip("\n"))
        handle(json.loads(line))
    while MODE == "deaf":
        time.sleep(600)


if __name__ == "__main__":
    main()
