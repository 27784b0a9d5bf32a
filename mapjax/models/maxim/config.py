"""What distinguishes one MAXIM from another."""

import dataclasses
import json
import math


@dataclasses.dataclass(frozen=True)
class MaximConfig:
    """The shape of a `Maxim` network; `MaximConfig()` is the paper's MAXIM-2S.

    `features`: channels at full resolution; every further level has twice as many.
    `stages`: U-Nets in a row, each of which restores the picture.
    `windows`: a level each: the side of a block, in pixels, and of the grid, in cells.
    `groups`: multi-axis blocks a level, each followed by channel attention.
    `bottlenecks`: bodies of that kind at the coarsest resolution, one level below the last.
    `reduction`: of the channels inside channel attention.
    `coarse_outputs`: whether the last stage restores the picture on its coarser scales, too, which
    only training asks for.
    `dtype`: of the activations, `"float32"` or `"bfloat16"`; `param_dtype`: of the parameters.
    `remat`: the backward pass computes each body again instead of keeping what is inside it.

    **Raises:** `ValueError` that names the field.

    >>> MaximConfig().multiple
    64
    """

    features: int = 32
    stages: int = 2
    windows: tuple[int, ...] = (16, 16, 8)
    groups: int = 2
    bottlenecks: int = 2
    reduction: int = 4
    coarse_outputs: bool = True
    dtype: str = "float32"
    param_dtype: str = "float32"
    remat: bool = False

    def __post_init__(self):
        object.__setattr__(self, "windows", tuple(int(side) for side in self.windows))
        for name in ("features", "stages", "groups", "bottlenecks", "reduction"):
            if getattr(self, name) < 1:
                raise ValueError(f"MaximConfig: {name} must be at least 1, got {self}")
        if not self.windows or min(self.windows) < 1:
            raise ValueError(f"MaximConfig: windows must be at least 1, got {self.windows}")
        if self.features % self.reduction:
            raise ValueError(
                "MaximConfig: features must be a multiple of reduction, "
                f"got {self.features} and {self.reduction}"
            )
        for name in ("dtype", "param_dtype"):
            if getattr(self, name) not in ("float32", "bfloat16"):
                raise ValueError(
                    f"MaximConfig: {name} must be 'float32' or 'bfloat16', "
                    f"got {getattr(self, name)!r}"
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.features * 2**level for level in range(len(self.windows)))

    def width_below(self, level: int) -> int:
        """Channels of what comes up to a level: the next one's, to the last the bottleneck's."""
        return self.widths[min(level + 1, len(self.widths) - 1)]

    @property
    def multiple(self) -> int:
        """Pixels: the sizes that every level cuts into whole blocks and cells."""
        sides = (*self.windows, self.windows[-1])  # the bottleneck's are those of the last level
        return math.lcm(*(side * 2**level for level, side in enumerate(sides)))

    def to_json(self) -> str:
        """The fields as JSON; `from_json` reads them back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "MaximConfig":
        """Reads what `to_json` wrote; an unknown field raises `TypeError`."""
        return cls(**json.loads(text))
