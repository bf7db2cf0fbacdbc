"""Failpoints: named places where a test can make a process crash, pause or fail. For tests only."""

from libs.failpoints.points import arm, failpoint
from libs.failpoints.registry import NAMES, PLACES, QUIET_PLACES, STATEMENTS
from libs.failpoints.rules import Action, Rule, actions_at, read_rules
from libs.failpoints.settings import FailpointSettings

__all__ = [
    "NAMES",
    "PLACES",
    "QUIET_PLACES",
    "STATEMENTS",
    "Action",
    "FailpointSettings",
    "Rule",
    "actions_at",
    "arm",
    "failpoint",
    "read_rules",
]
