"""Adversarial games: what the discriminator and the generator of a GAN minimise, from logits.

They are plain functions: each is one fused loop over a handful of logits, and automatic
differentiation of `softplus` and `relu` holds at every size of a logit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus
from jaxtyping import Array, Float, PRNGKeyArray

from mapjax.ops._precision import wide

Logits = Float[Array, "..."]
Loss = Float[Array, ""]
Samples = Float[Array, "batch ..."]


@dataclass(frozen=True)
class Game:
    """The two sides of an adversarial game, each a loss that its player minimises.

    `discriminator(real, fake)` and `generator(fake)` take the logits of the discriminator for real
    and for generated samples, of any shape (one a sample, or one a patch), and return a number in
    float32. The discriminator ends without a sigmoid; the games that need one contain it. With
    `D = sigmoid(logit)` and E the mean:

        minimax_game         discriminator  -V,  V = E[log D(real)] + E[log(1 - D(fake))]
                             generator       E[log(1 - D(fake))]
        non_saturating_game  discriminator  -V
                             generator      -E[log D(fake)]
        hinge_game           discriminator   E[max(0, 1 - real)] + E[max(0, 1 + fake)]
                             generator      -E[fake]
        least_squares_game   discriminator   E[(real - 1)^2] / 2 + E[fake^2] / 2
                             generator       E[(fake - 1)^2] / 2
        wasserstein_game     discriminator   E[fake] - E[real], with `gradient_penalty`
                             generator      -E[fake]

    In the minimax game one side wins what the other loses, `min_G max_D V`; its generator has no
    gradient where the discriminator is sure, which the non-saturating one mends.

    Example:
      >>> import jax.numpy as jnp
      >>> real, fake = jnp.array([2.0]), jnp.array([-1.0])
      >>> float(hinge_game.discriminator(real, fake)), float(hinge_game.generator(fake))
      (0.0, 1.0)

    Sources: minimax and non-saturating, Goodfellow et al., Generative Adversarial Nets, NeurIPS
    2014; hinge, Lim and Ye, Geometric GAN, 2017; least squares, Mao et al., ICCV 2017; Wasserstein,
    Arjovsky et al., ICML 2017.
    """

    name: str
    discriminator: Callable[[Logits, Logits], Loss]
    generator: Callable[[Logits], Loss]


def _mean(function: Callable[[Array], Array], logits: Logits) -> Loss:
    return jnp.mean(function(wide(logits)))


def _identity(x: Array) -> Array:
    return x


def _minus_value(real: Logits, fake: Logits) -> Loss:
    return _mean(lambda x: softplus(-x), real) + _mean(softplus, fake)


minimax_game = Game(
    "minimax", _minus_value, generator=lambda fake: _mean(lambda x: -softplus(x), fake)
)
non_saturating_game = Game(
    "non-saturating", _minus_value, generator=lambda fake: _mean(lambda x: softplus(-x), fake)
)
hinge_game = Game(
    "hinge",
    lambda real, fake: _mean(lambda x: relu(1 - x), real) + _mean(lambda x: relu(1 + x), fake),
    generator=lambda fake: -_mean(_identity, fake),
)
least_squares_game = Game(
    "least squares",
    lambda real, fake: (_mean(lambda x: (x - 1) ** 2, real) + _mean(jnp.square, fake)) / 2,
    generator=lambda fake: _mean(lambda x: (x - 1) ** 2, fake) / 2,
)
wasserstein_game = Game(
    "Wasserstein",
    lambda real, fake: _mean(_identity, fake) - _mean(_identity, real),
    generator=lambda fake: -_mean(_identity, fake),
)


def gradient_penalty(
    key: PRNGKeyArray,
    critic: Callable[[Samples], Logits],
    real: Samples,
    fake: Samples,
    *,
    target: float = 1.0,
) -> Loss:
    """How far the slope of a critic is from `target` between real and generated samples.

    ``E[(|grad critic(x)| - target)^2]``, ``x = u real + (1 - u) fake``, u uniform for each sample.

    Added to the discriminator's loss of the `wasserstein_game`, times 10 as a rule. The norm is
    that of the gradient of the summed logits with respect to one sample; where it is zero, its own
    gradient is taken as zero.

    Args:
      key: of the random numbers u.
      critic: samples to logits, each sample by itself (no batch normalisation).
      real: batch first.
      fake: as many generated ones, of the same shape.
      target: the slope that costs nothing.

    Returns:
      The mean over the samples, in float32.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> real, fake = jnp.ones((4, 2)), jnp.zeros((4, 2))
      >>> float(gradient_penalty(jax.random.key(0), lambda x: 3 * x[:, 0], real, fake))
      4.0

    Source: Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"gradient_penalty takes as many real as generated samples, of one shape, got real "
            f"{real.shape} and fake {fake.shape}"
        )
    shape = (real.shape[0], *(1,) * (real.ndim - 1))
    u = jax.random.uniform(key, shape, real.dtype)
    squared = _squared_slopes(critic, u * real + (1 - u) * fake)
    steep = squared > 0
    norm = jnp.where(steep, jnp.sqrt(jnp.where(steep, squared, 1)), 0)
    return jnp.mean(jnp.square(norm - target))


def r1_penalty(discriminator: Callable[[Samples], Logits], real: Samples) -> Loss:
    """The steepness of a discriminator at the real samples: ``E[|grad D(real)|^2] / 2``.

    Added to the discriminator's loss of any game, times a weight (gamma) of 1 to 10 as a rule. The
    gradient is that of the summed logits with respect to one sample.

    Args:
      discriminator: samples to logits, each sample by itself (no batch normalisation).
      real: batch first.

    Returns:
      The mean over the samples, in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> float(r1_penalty(lambda x: 3 * x[:, 0], jnp.ones((4, 2))))
      4.5

    Source: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018.
    """
    return jnp.mean(_squared_slopes(discriminator, real)) / 2


def _squared_slopes(
    function: Callable[[Samples], Logits], samples: Samples
) -> Float[Array, "batch"]:
    """Of each sample the squared norm of the gradient of its logits' sum."""
    slopes = wide(jax.grad(lambda x: jnp.sum(wide(function(x))))(samples))
    return jnp.sum(jnp.square(slopes), axis=tuple(range(1, slopes.ndim)))
