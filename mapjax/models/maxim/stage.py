"""One stage: a U-Net that restores the picture on every scale."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models.maxim.channels import PerceptronBlock
from mapjax.models.maxim.config import MaximConfig
from mapjax.models.maxim.cross_gating import CrossGating
from mapjax.models.maxim.levels import Body, DecoderLevel, EncoderLevel
from mapjax.models.maxim.resolution import Gather
from mapjax.nn import Conv2d


class Found(NamedTuple):
    """What a stage hands to the next, features a level, the finest first.

    `encoded`, `decoded`: of the levels; `attended`: seen through what the stage restored.
    """

    encoded: list[Array]
    decoded: list[Array]
    attended: list[Array]


class SupervisedAttention(nnx.Module):
    """A picture restored from features, and the features weighed by that picture.

    Source: Zamir et al., Multi-Stage Progressive Image Restoration, CVPR 2021.
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.features = Conv2d(features, features, (3, 3), **kinds)
        self.restore = Conv2d(features, 3, (3, 3), **kinds)
        self.attend = Conv2d(3, features, (3, 3), **kinds)

    def __call__(
        self,
        x: Float[Array, "batch height width features"],
        image: Float[Array, "batch height width 3"],
    ) -> tuple[Array, Array]:
        restored = image + self.restore(x).astype(image.dtype)
        weights = jax.nn.sigmoid(self.attend(restored.astype(x.dtype)))
        return x + self.features(x) * weights, restored


class Stage(nnx.Module):
    """Encoder, bottleneck, cross-gated skips and decoder; the later ones look at the one before.

    `images`: the picture on every scale, each half the one before -> the restored pictures, None
    where there is no head for a scale, and what the next stage sees.
    """

    def __init__(
        self, config: MaximConfig, *, first: bool, last: bool, rngs: nnx.Rngs, **kinds: Any
    ):
        kinds["rngs"] = rngs
        widths, levels = config.widths, range(len(config.windows))
        deepest_first = levels[::-1]

        def crossing(level: int, x: int, y: int, **options: Any) -> CrossGating:
            both = dict(features=widths[level], side=config.windows[level])
            return CrossGating(x, y, **both, **options, **kinds)

        def skip(level: int) -> CrossGating:
            gathered, below = len(levels) * widths[level], config.width_below(level)
            return crossing(level, gathered, below, upsample=True)

        def gather(to: int, order: Sequence[int]) -> Gather:
            return Gather(order, widths=widths, to=to, **kinds)

        def head(level: int) -> Conv2d | SupervisedAttention | None:
            if not last:
                return SupervisedAttention(widths[level], **kinds)
            if level and not config.coarse_outputs:
                return None
            return Conv2d(widths[level], 3, (3, 3), **kinds)

        self.entries = nnx.Sequential(*[Conv2d(3, width, (3, 3), **kinds) for width in widths])
        fusions = [crossing(level, widths[level], widths[level]) for level in levels if not first]
        self.fusions = nnx.Sequential(*fusions) if fusions else None
        self.encoder = nnx.Sequential(
            *[EncoderLevel(config, level, first=first, **kinds) for level in levels]
        )
        self.bottleneck = nnx.Sequential(
            *[
                Body(config, widths[-1], levels[-1], channel_block=PerceptronBlock, **kinds)
                for _ in range(config.bottlenecks)
            ]
        )
        self.gather_encoded = nnx.Sequential(*[gather(level, levels) for level in levels])
        self.crossings = nnx.Sequential(*[skip(level) for level in levels])
        self.gather_skips = nnx.Sequential(*[gather(level, deepest_first) for level in levels])
        self.decoder = nnx.Sequential(*[DecoderLevel(config, level, **kinds) for level in levels])
        self.heads = nnx.Sequential(*[head(level) for level in levels])

    def __call__(
        self, images: Sequence[Array], before: Found | None
    ) -> tuple[list[Array | None], Found]:
        levels = range(len(images))
        entries = [enter(image) for enter, image in zip(self.entries.layers, images, strict=True)]
        if self.fusions is not None and before is not None:
            pairs = zip(self.fusions.layers, entries, before.attended, strict=True)
            entries = [fuse(entry, attended)[0] for fuse, entry, attended in pairs]

        x, encoded = entries[0], []
        for level, encode in enumerate(self.encoder.layers):
            past = None if before is None else before.encoded[level] + before.decoded[level]
            x, found = encode(x, entries[level], past)
            encoded.append(found)
        x = self.bottleneck(x)

        skips, carried = [], x
        for level in reversed(levels):
            gathered = self.gather_encoded.layers[level](encoded)
            skip, carried = self.crossings.layers[level](gathered, carried)
            skips.append(skip)

        decoded, attended, restored = [], [], []
        for level in reversed(levels):
            x = self.decoder.layers[level](x, self.gather_skips.layers[level](skips))
            decoded.append(x)
            head, image = self.heads.layers[level], images[level]
            if isinstance(head, SupervisedAttention):
                seen, picture = head(x, image)
                attended.append(seen)
            else:
                picture = None if head is None else image + head(x).astype(image.dtype)
            restored.append(picture)
        return restored[::-1], Found(encoded, decoded[::-1], attended[::-1])
