"""Run by path in a fresh interpreter, never imported: `launch.py <runner pid> <limits> <command> [args...]`

Ties the process to the runner, sets its limits, and becomes the command (`exec`: nothing stays in between).

Why a script, which costs 15 ms before a server that takes 300 to 3,000 to start: `preexec_fn` runs Python
between fork and exec of a process full of threads (gRPC's) and may deadlock, besides giving up `vfork`;
`setpriv --pdeathsig` is not everywhere, misses a runner that died before it ran, and sets no limits.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_RUN = 127


def _die_with(runner: int) -> None:
    """Have the kernel kill this process when the thread of the runner that started it ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != runner:
        # It died before prctl: nobody would ever send the signal.
        os._exit(_CANNOT_RUN)


def _limit(limits: str) -> None:
    """Apply `RLIMIT_X=value,...`; a limit above the runner's own hard limit stays at that."""
    import resource

    for limit in limits.split(","):
        name, _, value = limit.partition("=")
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        wanted = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(number, (wanted, wanted))


def main() -> None:
    """Never returns."""
    runner, limits, *command = sys.argv[1:]
    _die_with(int(runner))
    _limit(limits)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        # The interpreter ignores these two, and what is ignored stays so through exec.
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 - this is the one place that runs a catalogue's command
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(_CANNOT_RUN)


if __name__ == "__main__":
    main()
