"""What goes wrong with a run for a reason that its user can act on."""


class TrainingError(RuntimeError):
    """A run cannot start or go on; the message says why and what to do."""
