"""What is looked at, shared by every widget; and slow work off the kernel's main loop."""

from interp_widgets.session.session import Session

__all__ = ["Session"]
