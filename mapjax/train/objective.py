"""What a `RainHaze` network is trained for: the clean picture, and the weather in front of it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from mapjax.data import Rendered
from mapjax.models import Coefficients
from mapjax.ops import charbonnier, fourier_l1, log_mse
from mapjax.train.batch import Example
from mapjax.train.frozen import freeze
from mapjax.train.settings import TrainSettings
from mapjax.train.step import Params

Images = Float[Array, "batch height width channels"]


def make_objective(
    graph: nnx.GraphDef, settings: TrainSettings
) -> Callable[[Params, Example], Float[Array, ""]]:
    """The loss of a model's parameters on rendered pictures, and on pairs among them."""

    def objective(params: Params, example: Example) -> Float[Array, ""]:
        rendered, paired = example
        model = nnx.merge(graph, freeze(params, settings.frozen))
        predicted = model.predict(rendered.observed)
        restored = model.apply(rendered.observed, predicted)
        loss = restoration_loss(restored, rendered.clean, settings)
        if settings.transmission or settings.airlight:
            loss = loss + physics_loss(predicted, rendered, settings, paired=paired)
        return loss

    return objective


def restoration_loss(restored: Images, target: Images, settings: TrainSettings) -> Float[Array, ""]:
    """The weighted sum of the losses that have a weight."""
    terms = (
        (settings.charbonnier, charbonnier),
        (settings.fourier, fourier_l1),
        (settings.log_mse, log_mse),
    )
    restored = restored.astype(jnp.float32)
    weighted = (weight * loss(restored, target) for weight, loss in terms if weight > 0)
    return sum(weighted, start=jnp.zeros(()))


def physics_loss(
    predicted: Coefficients,
    rendered: Rendered,
    settings: TrainSettings,
    *,
    paired: Bool[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """The weighted errors of the transmission and of the airlight against what was rendered.

    Of the transmission it is the error of its logarithm, `|log t - log truth|`: a scene behind haze
    comes out wrong by the ratio `truth / t`, so that an error of 0.1 is small where the air is
    clear, and all there is where the haze is dense.

    The error of the airlight counts as it shows in the scene, `|A - truth| (1 - t) / t`: hardly
    where the air is clear, and many times over where a trace of the scene is to be brought out.

    Rendered pictures come with both. Telling the network spares it from finding out through the
    restored picture, where the gradient vanishes as the veil gets thin or dense. Of pairs from a
    camera neither is known, and their errors count as zero.
    """
    log_t = jax.nn.log_sigmoid(predicted.transmission_logit)
    (height, width), (rows, columns) = rendered.clean.shape[1:3], log_t.shape[1:]
    stride = predicted.residual.shape[1] // rows
    beyond = ((0, 0), (0, rows * stride - height), (0, columns * stride - width))
    truth = jnp.pad(rendered.transmission[..., 0], beyond, mode="edge")
    truth = truth.reshape(-1, rows, stride, columns, stride).mean((2, 4))
    # Twenty times over at most: what lies behind more haze is lost anyway.
    magnified = ((1 - truth) / jnp.maximum(truth, 0.05)).mean((1, 2))
    of_airlight = magnified[:, None] * jnp.abs(predicted.airlight - rendered.airlight)
    # Opaque haze has no finite logarithm; a thousandth is below what a stored picture can tell.
    of_transmission = jnp.abs(log_t - jnp.log(jnp.maximum(truth, 1e-3)))
    if paired is not None:
        of_airlight = jnp.where(paired[:, None], 0, of_airlight)
        of_transmission = jnp.where(paired[:, None, None], 0, of_transmission)
    airlight, transmission = jnp.mean(of_airlight), jnp.mean(of_transmission)
    return settings.transmission * transmission + settings.airlight * airlight
