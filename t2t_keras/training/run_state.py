"""Where a run stands."""

import dataclasses


@dataclasses.dataclass(eq=False)
class RunState:
    """How far a run has come; every callback reads it, one moves it on.

    Args:
        steps_per_epoch: Batches in an epoch.
        epochs: Of the whole run.
        step: Batches trained on, over all epochs.
        history: What was logged at the end of each epoch.
        seconds: How long `fit` took, in earlier processes too.
        ended: Whether it ends before its last epoch.
    """

    steps_per_epoch: int
    epochs: int
    step: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    ended: bool = False

    @property
    def epoch(self) -> int:
        """The epoch that is being worked on, from 0; it counts until it has been validated."""
        return len(self.history)

    @property
    def step_in_epoch(self) -> int:
        """Batches of this epoch that were trained on."""
        return self.step - self.epoch * self.steps_per_epoch

    @property
    def steps_left(self) -> int:
        """Batches to train on in this epoch."""
        return self.steps_per_epoch - self.step_in_epoch

    @property
    def finished(self) -> bool:
        """Whether every epoch is through, or the run has ended early."""
        return self.ended or self.epoch >= self.epochs
