"""How an attempt at a command ends: failures, the retry decision, and the record of the end."""

from libs.attempts.codes import ClaimCode, FenceCode
from libs.attempts.failure import AttemptFailedError, Failure, FailureCode
from libs.attempts.finish import LARGE_RESULT_BYTES, Ending, Finish, Report
from libs.attempts.lease import CommandLease
from libs.attempts.model import Outcome
from libs.attempts.outcomes import acknowledged, cancelled, ended_by, succeeded
from libs.attempts.retry import MAX_RELEASES, GiveUp, Retry, RetryPolicy, decide
from libs.attempts.store import Finishes, PostgresFinishes

__all__ = [
    "LARGE_RESULT_BYTES",
    "MAX_RELEASES",
    "AttemptFailedError",
    "ClaimCode",
    "CommandLease",
    "Ending",
    "Failure",
    "FailureCode",
    "FenceCode",
    "Finish",
    "Finishes",
    "GiveUp",
    "Outcome",
    "PostgresFinishes",
    "Report",
    "Retry",
    "RetryPolicy",
    "acknowledged",
    "cancelled",
    "decide",
    "ended_by",
    "succeeded",
]
