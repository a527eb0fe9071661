"""Is an attribution right, and does it mean anything?"""

from interp_widgets.evaluation.check import Check, Report, Verdict, check
from interp_widgets.evaluation.doctor import Finding, diagnose, is_odd

__all__ = ["Check", "Finding", "Report", "Verdict", "check", "diagnose", "is_odd"]
