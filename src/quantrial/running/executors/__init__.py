"""How the calls of an arm are carried out: one after another, or several at once."""

from quantrial.running.executors.base import Executor, Job, TimedAttempt, timed_attempt
from quantrial.running.executors.serial import SerialExecutor
from quantrial.running.executors.threads import ThreadExecutor

__all__ = [
    "Executor",
    "Job",
    "SerialExecutor",
    "ThreadExecutor",
    "TimedAttempt",
    "timed_attempt",
]
