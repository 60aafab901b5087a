"""Which pictures of every batch one of several processes decodes.

The processes' shares of a batch make up the whole batch, in another order. Mixing pairs each row
of a batch with the one as far from its other end: a share holds both or neither, in the order in
which the share's own two ends pair them again.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of one process.

    Args:
        index: Its number, from 0.
        count: Number of processes; at least 1.

    Raises:
        ValueError: `index` is not below `count`.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self):
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"`index` must be in 0..{self.count - 1}, the count's. Received: index={self.index}"
            )

    def size(self, batch_size: int) -> int:
        """Pictures of each batch.

        Raises:
            ValueError: `batch_size` is not a multiple of twice the number of processes, if there
                are several.
        """
        if self.count > 1 and batch_size % (2 * self.count):
            raise ValueError(
                f"`batch_size` must be a multiple of {2 * self.count}, twice the number of "
                f"processes. Received: batch_size={batch_size}"
            )
        return batch_size // self.count

    def rows(self, batch_size: int) -> np.ndarray:
        """(`size(batch_size)`,) the rows of each batch, ascending."""
        if self.count == 1:
            return np.arange(batch_size)
        half = self.size(batch_size) // 2
        upper = np.arange(self.index * half, (self.index + 1) * half)
        return np.concatenate([upper, batch_size - 1 - upper[::-1]])


WHOLE = Share()
