"""Is an attribution right, and does it mean anything?"""

from interp_widgets.evaluation.check import Check, Report, check
from interp_widgets.evaluation.doctor import Finding, diagnose

__all__ = ["Check", "Finding", "Report", "check", "diagnose"]
