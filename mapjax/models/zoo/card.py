"""The card of converted weights: what they are, where they come from, how good they are."""

import hashlib
import textwrap
from pathlib import Path

from mapjax import __version__
from mapjax.models.zoo.published import Published


def card(name: str, published: Published, weights: Path) -> str:
    """Markdown that lies beside the weights, and travels with them."""
    with open(weights, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if published.measured:
        measured = (
            f"Measured: {published.measured}, on whole pictures, outputs rounded to 8 bits, by "
            f"`mapjax evaluate --input INPUT --target TARGET --model {name} --tile 0`."
        )
    else:
        measured = "Not measured here."
    paragraphs = [
        f"What it takes out of RGB photos of any size: {published.takes_out}. "
        f"`mapjax restore PHOTO... --output DIR --model {name}`.",
        "**The network.** MAXIM-2S (Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR "
        "2022), float32. `mapjax models` counts parameters and FLOPs.",
        f"**Trained on** {published.data}, by the authors of the paper.",
        f"**Figures.** In the paper: {published.paper}. {measured} "
        f"A picture of 620x460 takes {published.seconds:g} s on one core of an AMD EPYC.",
        f"**Source.** `{published.package}@{published.version}` in the npm registry, SHA-256 "
        f"`{published.sha256}`; converted by mapjax {__version__} to `{weights.name}`, SHA-256 "
        f"`{digest}`.",
        f"**Licence.** {published.licence}.",
    ]
    filled = [textwrap.fill(text, 100, break_on_hyphens=False) for text in paragraphs]
    return "\n\n".join([f"# {name}", *filled]) + "\n"
