"""Starts an agent process. Run by path in a fresh interpreter: `launch.py <runner pid> <limits> <command> [args...]`

It ties the process to the life of the runner, sets its limits and replaces itself by the command (`exec`).

The script takes 15 ms; a server takes 300 to 3,000 ms to start. The alternatives are worse. `preexec_fn` runs Python
between fork and exec in a process with many threads (gRPC), which may deadlock, and prevents `vfork`.
`setpriv --pdeathsig` is not available everywhere, misses a runner that died before it ran, and sets no limits.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_RUN = 127


def _die_with(runner: int) -> None:
    """Ask the kernel to kill this process when the runner's thread that started it ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != runner:
        # The runner died before prctl, so the kernel would never send the signal.
        os._exit(_CANNOT_RUN)


def _limit(limits: str) -> None:
    """Apply `RLIMIT_X=value,...`. The runner's hard limits cap the values."""
    import resource

    for limit in limits.split(","):
        name, _, value = limit.partition("=")
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        effective = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(number, (effective, effective))


def main() -> None:
    """Become the command. Never returns."""
    runner, limits, *command = sys.argv[1:]
    _die_with(int(runner))
    _limit(limits)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        # The interpreter ignores these two signals, and exec keeps ignored signals ignored.
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 - the only place that runs the command of a registered server
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(_CANNOT_RUN)


if __name__ == "__main__":
    main()
