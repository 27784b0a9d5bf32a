"""What distinguishes one member of the RainHaze family from another."""

import dataclasses
import json

from mapjax.models import veil

HEADS = ("unified", "filter", "transmission", "convolution")


@dataclasses.dataclass(frozen=True)
class RainHazeConfig:
    """The shape of a `RainHaze` network; `RainHazeConfig()` is `rainhaze-s`.

    `stride`: pixels per cell of the grid on which the network works (1, 2, 4 or 8).
    `widths`: channels per level of the U-Net; each level halves the resolution.
    `blocks`: blocks per level; the last level has one group, the others one on either side.
    `dilations`: the filter's taps are 3x3 at each of these dilations.
    `glance_size`, `glance_width`, `glance_blocks`: the thumbnail (`glance_size` pixels square) that
    is looked at for what is global, and the network that looks at it.
    `head`: `"unified"` is the operation `derain_dehaze` with a residual after it; `"filter"` and
    `"transmission"` are its halves, `"convolution"` the residual alone (for comparison).
    `dtype`: of the activations, `"float32"` or `"bfloat16"`; parameters are float32.

    **Raises:** `ValueError` that names the field.

    >>> RainHazeConfig(stride=2).taps
    33
    """

    stride: int = 4
    widths: tuple[int, ...] = (64, 128, 192)
    blocks: tuple[int, ...] = (3, 3, 4)
    dilations: tuple[int, ...] = (1, 2, 3, 4)
    glance_size: int = 64
    glance_width: int = 64
    glance_blocks: int = 10
    head: str = "unified"
    dtype: str = "float32"

    def __post_init__(self):
        for field in ("widths", "blocks", "dilations"):
            object.__setattr__(self, field, tuple(int(x) for x in getattr(self, field)))
        if self.stride not in (1, 2, 4, 8):
            raise ValueError(f"RainHazeConfig: stride must be 1, 2, 4 or 8, got {self.stride}")
        if not self.widths or len(self.widths) != len(self.blocks):
            raise ValueError(
                "RainHazeConfig: widths and blocks need one entry a level, "
                f"got widths={self.widths} and blocks={self.blocks}"
            )
        if any(width < 4 or width % 4 for width in (*self.widths, self.glance_width)):
            raise ValueError(
                "RainHazeConfig: widths and glance_width must be multiples of 4, at least 4, "
                f"got {self.widths} and {self.glance_width}"
            )
        if any(count < 0 for count in self.blocks):
            raise ValueError(f"RainHazeConfig: blocks must be >= 0, got {self.blocks}")
        if self.glance_size < 2 or self.glance_size % 2:
            raise ValueError(
                f"RainHazeConfig: glance_size must be even and >= 2, got {self.glance_size}"
            )
        if self.glance_blocks < 1:
            raise ValueError(
                f"RainHazeConfig: glance_blocks must be >= 1, got {self.glance_blocks}"
            )
        if not self.dilations or any(d < 1 for d in self.dilations):
            raise ValueError(f"RainHazeConfig: dilations must be >= 1, got {self.dilations}")
        if self.head not in HEADS:
            raise ValueError(f"RainHazeConfig: head must be one of {HEADS}, got {self.head!r}")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"RainHazeConfig: dtype must be 'float32' or 'bfloat16', got {self.dtype!r}"
            )

    @property
    def taps(self) -> int:
        """How many taps the filter has: the centre and eight per dilation."""
        return 1 + 8 * len(set(self.dilations))

    @property
    def multiple(self) -> int:
        """Pixels per cell of the coarsest level: sizes and tile origins are multiples of it."""
        return self.stride * 2 ** (len(self.widths) - 1)

    @property
    def halo(self) -> int:
        """How far (pixels, up to a multiple of `multiple`) a restored pixel sees, at most.

        Every 3x3 convolution of a level adds one cell of it on each side; the cells of the
        coarsest level are aligned, the coefficients interpolated and the taps shifted.
        """
        cells = [n * (1 if last else 2) for n, last in self._levels()]
        cells[0] += 1 + veil.REACH  # the stem, and the windows that it is shown the least of
        reach = sum(n * self.stride * 2**level for level, n in enumerate(cells))
        reach += self.multiple - 1 + self.stride + max(self.dilations)
        return -(-reach // self.multiple) * self.multiple

    def _levels(self):
        return [(n, level == len(self.blocks) - 1) for level, n in enumerate(self.blocks)]

    def to_json(self) -> str:
        """The fields as JSON; `from_json` reads them back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "RainHazeConfig":
        """Reads what `to_json` wrote; an unknown field raises `TypeError`."""
        return cls(**json.loads(text))


NAMED = {
    "rainhaze-s": RainHazeConfig(),
    "rainhaze-t": RainHazeConfig(widths=(32, 64, 96), blocks=(2, 2, 3), glance_width=32),
}
"""The family by name."""
