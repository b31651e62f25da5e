"""The checker: what is wrong with a submission, where, why, and how to mend it."""

from edgelm.check.base import Finding, worst
from edgelm.check.run import as_json, check, exit_code

__all__ = ["Finding", "as_json", "check", "exit_code", "worst"]
