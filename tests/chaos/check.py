"""The checker reads a saved run and reports violated rules.

python -m tests.chaos.check DIR
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.chaos import call_rules, command_rules, leftover_rules, session_rules, stream_rules
from tests.chaos.failpoint_coverage import coverage
from tests.chaos.history import History, Rule, Violation

RULES: Mapping[str, Rule] = {
    "I1": command_rules.accepted_commands_end,
    "I2": command_rules.outcomes_are_single,
    "I3": command_rules.attempts_are_numbered,
    "I4": stream_rules.numbers_have_no_gap,
    "I5": stream_rules.subscribers_see_everything_once,
    "I6": command_rules.dead_letters_are_the_failed,
    "I7": session_rules.nothing_follows_a_stop,
    "I8": session_rules.one_session_lives,
    "I9": call_rules.keys_mean_one_thing,
    "I11": leftover_rules.nothing_is_left_over,
    "redirect": command_rules.redirects_are_not_followed,
    "order": command_rules.ordered_commands_take_turns,
    "I13": call_rules.unknown_calls_are_whole,
}
_SHOWN = 5


def check(folder: Path) -> list[Violation]:
    """Return every violation in a saved run. A run without end.json or without commands is a violation."""
    history = History(folder)
    if not history.end or not history.commands:
        return [Violation("run", "the run has no end or no commands, so it proves nothing")]
    return [Violation(name, text) for name, rule in RULES.items() for text in rule(history)]


def report(folder: Path, violations: list[Violation]) -> str:
    """Return a summary of the run and a few lines for each violated rule."""
    history = History(folder)
    phases = [operation["phase"] for operation in history.operations]
    lines = [
        f"{len(history.commands)} commands, {len(history.events)} events, {len(history.rows('seen'))} seen, "
        f"{len(history.effects)} effects; {len(phases)} calls, {phases.count('info')} of unknown outcome; "
        f"{sum(row['phase'] == 'begin' for row in history.rows('faults'))} faults; "
        f"settled in {history.end.get('settle_seconds')} s"
    ]
    skipped = {row["problem"] for row in history.rows("faults") if row.get("problem")}
    lines += sorted(skipped)
    lines += coverage(history)
    for name in dict.fromkeys(violation.rule for violation in violations):
        texts = [violation.text for violation in violations if violation.rule == name]
        lines += [f"{name} is violated {len(texts)} times:", *(f"  {text}" for text in texts[:_SHOWN])]
    return "\n".join(lines)


def main() -> int:
    """Check the given folder. Returns 1 if a rule is violated."""
    folder = Path(sys.argv[1])
    violations = check(folder)
    sys.stdout.write(report(folder, violations) + "\n" + ("VIOLATED\n" if violations else "all rules hold\n"))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
