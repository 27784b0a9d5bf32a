"""How much memory this process has needed."""

import sys


def peak_of_process() -> int | None:
    """The most bytes that this process has held at a time; None where the system does not say."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10
