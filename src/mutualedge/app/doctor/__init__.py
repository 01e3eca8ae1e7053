"""Whether this machine and a consortium on it are as they should be: facts, rules, a report."""

from mutualedge.app.doctor.report import run_doctor

__all__ = ["run_doctor"]
