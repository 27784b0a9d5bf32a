"""Which weights there are, where they come from and what they were measured at."""

import dataclasses

from mapjax.models.maxim import MaximConfig

MAXIM_2S = MaximConfig(coarse_outputs=False)
"""The published graphs end in the picture: what was only trained on is not in them."""


@dataclasses.dataclass(frozen=True)
class Published:
    """Weights of a `Maxim` in an archive of the npm registry.

    `takes_out`: what the network was trained to take out of pictures, `data` the set that it was
    trained on. `package` and `version` name the archive, `size` are its bytes, `sha256` is its
    digest. `measured` is what this library measured on whole sets, by `mapjax evaluate`, `paper`
    what the paper says of it; `seconds` are those of one CPU core for a picture of 620x460.
    """

    takes_out: str
    data: str
    package: str
    version: str
    size: int
    sha256: str
    paper: str
    measured: str
    config: MaximConfig = MAXIM_2S
    seconds: float = 31.0
    licence: str = "MIT (weights), Apache-2.0 (network)"

    @property
    def archive(self) -> str:
        """The name that `npm pack` gives to the archive."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PUBLISHED = {
    "maxim-derain": Published(
        takes_out="rain",
        data="Rain13k",
        package="@upscalerjs/maxim-deraining",
        version="0.1.0",
        size=53_415_066,
        sha256="32eefe4bcc0d835438bf01598e73bc89f53802a7119e3d192f1e9bfc7d663857",
        paper="Rain100L 38.06 dB (Y)",
        measured="Rain100L 37.99 dB (Y)",
    ),
    "maxim-dehaze-indoor": Published(
        takes_out="haze, indoors",
        data="RESIDE-Indoor",
        package="@upscalerjs/maxim-dehazing-indoor",
        version="0.1.0",
        size=53_805_182,
        sha256="c29872120011c1999d0355a9b1c1b92ca89c20d5d6cb60ad258b88ae6db29802",
        paper="SOTS indoor 38.11 dB",
        measured="SOTS indoor 37.21 dB (scenes 1410 to 1419)",
    ),
    "maxim-dehaze-outdoor": Published(
        takes_out="haze, outdoors",
        data="RESIDE-Outdoor",
        package="@upscalerjs/maxim-dehazing-outdoor",
        version="0.1.0",
        size=53_387_173,
        sha256="928f6f6ed181193c6acd92a04c9f6f8282011e3c21b9eb1cbaf8ca9fff969d4b",
        paper="SOTS outdoor 34.19 dB",
        measured="",
    ),
}
"""The networks by name."""
