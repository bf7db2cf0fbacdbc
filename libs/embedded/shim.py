"""Runs another program in this process and ends it when the parent process ends.

Run by path as `python -I -S shim.py PARENT_PID DEATH_SIGNAL USER_ID GROUP_ID PROGRAM [ARGUMENT...]`; USER_ID
-1 keeps the caller's identity. It exists because a `preexec_fn` can deadlock in a program with threads, and because
an unprivileged user may not be able to reach the interpreter: this drops the identity just before the program starts.
It runs before each child, so it uses only modules of the standard library that import fast.
"""

import os
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
START_FAILED = 127


def drop_identity(user_id: int, group_id: int) -> None:
    """Switch to the user permanently, with no group but its own."""
    os.setgroups([])
    os.setgid(group_id)
    os.setuid(user_id)


def find_prctl() -> Callable[..., int] | None:
    """Return the C library's `prctl`, or None on systems other than Linux."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    return prctl


def die_with_parent(prctl: Callable[..., int] | None, parent_id: int, death_signal: int) -> None:
    """Ask the kernel to send the signal when the parent ends; exit if it has ended already."""
    if prctl is not None and prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit("prctl failed")
    if os.getppid() != parent_id:
        sys.exit(START_FAILED)


def main(arguments: list[str]) -> None:
    """Drop the identity, arrange the death signal and start the program."""
    parent_id, death_signal, user_id, group_id = (int(argument) for argument in arguments[:4])
    program = arguments[4:]
    prctl = find_prctl()  # first, because the new identity may not reach the standard library
    if user_id >= 0:
        drop_identity(user_id, group_id)
    # last, because a change of credentials clears the death signal
    die_with_parent(prctl, parent_id, death_signal)
    try:
        os.execvp(program[0], program)  # noqa: S606 - the argument list is the launcher's
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        sys.exit(START_FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
