# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mapjax/mapjax/blob/main/notebooks/02_your_own_operation.ipynb)
#
# # 2. An operation of your own
#
# An operation is a mapping with a declared domain, a rule for its gradient, and kernels that
# compute it. In this lesson we make one that photographers know: **local tone mapping**, which
# lifts the shadows of a picture by a curve that each pixel reads from its neighbourhood.
#
# `result = 1 - (1 - x)^(1 + lift)`: with `lift = 0` the picture stays, with a larger one the dark
# parts are raised the most, and white stays white.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("mapjax") is None:  # on Colab; its own JAX stays as it is
    source = "mapjax[notebooks] @ git+https://github.com/mapjax/mapjax"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from flax import nnx
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float
from skimage import data

import mapjax as mj

# %% [markdown]
# ## Step 1: what it means
#
# Plain `jax.numpy`. The annotations are the declaration: names of dimensions are shared between the
# arguments, `*batch` is any number of them. This function stays the judge of all that follows.


# %%
@mj.op
def lift_shadows(
    image: Float[Array, "*batch height width channels"],
    lift: Float[Array, "*batch height width"],
) -> Float[Array, "*batch height width channels"]:
    """1 - (1 - image)^(1 + lift), for an image in [0, 1] and a lift of at least 0."""
    return 1 - (1 - image) ** (1 + lift[..., None])


cat = jnp.asarray(data.chelsea()[:256, 60:316] / 255, jnp.float32)
dark = cat**2
shadows = jnp.broadcast_to(jnp.linspace(0, 2, dark.shape[1]), dark.shape[:2])
lifted = lift_shadows(dark, shadows)

figure, axes = plt.subplots(1, 2, figsize=(7, 3.5))
for axis, (title, picture) in zip(
    axes, {"dark": dark, "lifted from left to right": lifted}.items(), strict=True
):
    axis.imshow(picture)
    axis.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# A call that does not fit is refused before anything runs, with what was expected and what came:

# %%
try:
    lift_shadows(dark, shadows[:, :100])
except ValueError as error:
    print(error)

# %% [markdown]
# ## Step 2: the gradient
#
# With `w = 1 - image` and `p = 1 + lift`, `d result / d image = p w^(p - 1)` and
# `d result / d lift = -w^p log(w)`. Someone writes it down in a hurry:


# %%
@lift_shadows.gradient
def in_a_hurry(cotangent, image, lift):
    w, power = 1 - image, 1 + lift[..., None]
    d_image = cotangent * power * w ** (power - 1)
    d_lift = jnp.sum(cotangent * w**power * jnp.log(w), axis=-1)
    return d_image, d_lift


def drawn(key):
    """What the operation is made for: images in (0, 1), lifts of at least 0."""
    of_image, of_lift = jax.random.split(key)
    image = jax.random.uniform(of_image, (2, 5, 7, 3), minval=0.01, maxval=0.99)
    return image, jax.random.uniform(of_lift, (2, 5, 7), maxval=2.0)


report = mj.check(lift_shadows, inputs=drawn, quick=True)
for row in report.failures:
    print(f"{row.check}: {row.cause}\n")

# %% [markdown]
# `mj.check` holds the rule against automatic differentiation and against finite differences, and
# says what is wrong: a sign. It checks what `jax.custom_vjp` takes in silence, too: dtypes, missing
# cotangents, `vmap`, a second derivative, odd sizes.
#
# There is one more trap, at white, where `w = 0`: the hurried rule multiplies 0 by `log(0)`, and
# one white pixel turns all weights of a network into NaN. The limit of `w^p log(w)` is 0, so:


# %%
@mj.op
def lift_shadows(
    image: Float[Array, "*batch height width channels"],
    lift: Float[Array, "*batch height width"],
) -> Float[Array, "*batch height width channels"]:
    """1 - (1 - image)^(1 + lift), for an image in [0, 1] and a lift of at least 0."""
    return 1 - (1 - image) ** (1 + lift[..., None])


@lift_shadows.gradient
def _(cotangent, image, lift):
    w, power = 1 - image, 1 + lift[..., None]
    d_image = cotangent * power * w ** (power - 1)
    logarithm = jnp.log(jnp.where(w > 0, w, 1))
    return d_image, -jnp.sum(cotangent * w**power * logarithm, axis=-1)


print(mj.check(lift_shadows, inputs=drawn, quick=True))

white, no_lift = jnp.ones((1, 1, 3)), jnp.zeros((1, 1))
hurried = in_a_hurry(jnp.ones_like(white), white, no_lift)[1]
ours = jax.grad(lambda lift: lift_shadows(white, lift).sum())(no_lift)
print("gradient of the lift at white: in a hurry", hurried, "and now", ours)

# %% [markdown]
# ## Step 3: a kernel
#
# We write it in Pallas: rows of 128 numbers, a block of them at a time, in fast memory. The body is
# the same for a TPU and a GPU, the blocks are not. A core of a TPU takes one block after the other,
# and its fast memory holds large ones; the last may stand over the end. A GPU computes many at
# once, each by a group of threads in their registers; so they are small, and all of them whole.
# `fits` says which calls a kernel takes; for all others, and on all other platforms, the function
# above runs. With `partition=True` its batch is split over the devices of a mesh.

# %%
LANES, TPU_ROWS, GPU_ROWS = 128, 512, 8


def whole(rows):
    """Fits pictures that fill blocks of so many rows, and leave nothing over."""

    def fits(image, lift):
        if image.size == 0 or image.size % (rows * LANES):
            return f"{image.size} numbers are not a multiple of {rows * LANES}"
        return None

    return fits


def _block(image_ref, lift_ref, out_ref):
    w = 1 - image_ref[...].astype(jnp.float32)
    power = 1 + lift_ref[...].astype(jnp.float32)
    result = 1 - jnp.where(w > 0, jnp.exp(power * jnp.log(jnp.maximum(w, 1e-30))), 0.0)
    out_ref[...] = result.astype(out_ref.dtype)


def by_blocks(image, lift, rows):
    numbers = image.reshape(-1, LANES)
    lifts = jnp.broadcast_to(lift[..., None], image.shape).reshape(-1, LANES)
    block = pl.BlockSpec((rows, LANES), lambda i: (i, 0))
    call = pl.pallas_call(
        _block,
        jax.ShapeDtypeStruct(numbers.shape, image.dtype),
        grid=(pl.cdiv(numbers.shape[0], rows),),
        in_specs=[block, block],
        out_specs=block,
        name="lift_shadows",
    )
    return call(numbers, lifts).reshape(image.shape)


@lift_shadows.kernel("tpu", fits=whole(1), partition=True)
def large_blocks(image, lift):
    return by_blocks(image, lift, TPU_ROWS)


@lift_shadows.kernel("cuda", fits=whole(GPU_ROWS), partition=True)
def small_blocks(image, lift):
    return by_blocks(image, lift, GPU_ROWS)


print(lift_shadows.explain(dark, shadows))

# %% [markdown]
# An interpreter runs the kernel without a TPU. That forgives what a compiler refuses, so we ask the
# real compilers as well, for devices that are not there: `pip install 'mapjax[targets]'` brings
# them to any Linux PC.

# %%
with pltpu.force_tpu_interpret_mode():
    found = large_blocks(dark, shadows)
print("largest difference to the reference:", float(jnp.abs(found - lifted).max()))

for target in ("tpu:v5e", "cuda:h100"):
    reason = mj.targets.missing(target)
    print(reason or mj.compile_for(target, lift_shadows, dark, shadows), end="\n\n")

# %% [markdown]
# How to read it. By the compiler's schedule, the kernel takes less than a microsecond on the TPU,
# and the `reshape` and `broadcast_in_dim` around it nearly all of the rest: a picture with three
# channels last fills 3 of 128 lanes, and to make full rows of it, every number has to move. So what
# there is to gain is not in the kernel: whoever keeps pictures as planes, with the width last,
# needs no `reshape`. On the GPU that costs nothing, and memory binds; of the bytes that it moves,
# nearly half are the lift, which `broadcast_to` writes once for each channel. To read it where it
# is, and repeat it inside of the kernel, is a good exercise. Its spills are 0: all that a thread
# works on is in its registers.

# %% [markdown]
# ## Step 4: a layer, trained
#
# The operation is a mapping; a layer is the mapping with parameters. This one reads the lift from
# the neighbourhood, by a small convolution, and learns it from a dark and a bright picture.


# %%
class LiftShadows(nnx.Module):
    """`lift_shadows` by a lift that a convolution predicts."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.hidden = mj.nn.Conv2d(3, 8, (3, 3), rngs=rngs)
        self.lift = mj.nn.Conv2d(8, 1, (3, 3), rngs=rngs)

    def __call__(self, image: Array) -> Array:
        lift = self.lift(nnx.relu(self.hidden(image)))
        return lift_shadows(image, nnx.softplus(lift[..., 0]))


@nnx.jit
def step(layer, optimizer, dark, bright):
    def loss(layer):
        return jnp.mean((layer(dark) - bright) ** 2)

    value, gradient = nnx.value_and_grad(loss)(layer)
    optimizer.update(layer, gradient)
    return value


layer = LiftShadows(rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(layer, optax.adam(1e-2), wrt=nnx.Param)
small = functools.partial(jax.image.resize, shape=(1, 64, 64, 3), method="linear")
losses = [float(step(layer, optimizer, small(dark[None]), small(cat[None]))) for _ in range(150)]

figure, axes = plt.subplots(1, 4, figsize=(12, 3))
axes[0].semilogy(losses)
axes[0].set(xlabel="step", ylabel="mean squared error", title="Training")
pictures = {"dark": dark, "learnt": jnp.clip(layer(dark[None])[0], 0, 1), "wanted": cat}
for axis, (title, picture) in zip(axes[1:], pictures.items(), strict=True):
    axis.imshow(picture)
    axis.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# What does the trained program consist of, and what is there to know about the operation?

# %%
print(mj.inventory(layer, small(dark[None])))

# %%
lift_shadows.card()

# %% [markdown]
# `mapjax new-op NAME` writes the same five steps as files: an operation, its test, a notebook.
