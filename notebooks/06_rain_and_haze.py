# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mapjax/mapjax/blob/main/notebooks/06_rain_and_haze.ipynb)
#
# # 6. Rain and haze at once
#
# Rain falls inside of the haze, so the two belong together:
#
# `observed = clip((clean + rain) * t + airlight * (1 - t))`
#
# `t` is the transmission, the part of the light that comes through. Most systems take rain out with
# one model and haze with another. Here one operation, `derain_dehaze`, does both in one pass over
# the picture, and a small network predicts what it needs.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("mapjax") is None:  # on Colab; its own JAX stays as it is
    source = "mapjax[notebooks] @ git+https://github.com/mapjax/mapjax"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from skimage import data

import mapjax as mj

SMOKE = os.environ.get("MAPJAX_SMOKE") == "1"  # a quick run, for tests
print("JAX", jax.__version__, "on", jax.devices()[0].device_kind)

# %% [markdown]
# ## The weather, rendered
#
# Clean pictures with weather are made, not found: `mj.data.render` draws a depth, a density of haze
# and streaks of rain, and returns all the parts. On an accelerator it runs there, in the training
# step.

# %%
clean = jnp.asarray(data.astronaut()[:384, 40:424] / 255, jnp.float32)[None]
always_both = mj.data.RenderSettings(rain_only=0.0, haze_only=0.0, rain_and_haze=1.0)
made = mj.data.render(jax.random.key(1), clean, settings=always_both)
mj.show(
    clean=clean[0],
    rain=made.rain[0],
    transmission=made.transmission[0, ..., 0],
    observed=made.observed[0],
)

# %% [markdown]
# ## The picture, restored
#
# The weights come with the package. Drag the slider.

# %%
observed = made.observed[0]
restored = mj.restore(observed)


def psnr(a, b):
    return float(-10 * jnp.log10(jnp.mean((jnp.clip(a, 0, 1) - b) ** 2)))


print(
    f"PSNR: observed {psnr(observed, clean[0]):.1f} dB, restored {psnr(restored, clean[0]):.1f} dB"
)
mj.compare(observed, restored, labels=("rain and haze", "restored"))

# %% [markdown]
# ## What the network says
#
# It works on cells of 4x4 pixels, where arithmetic is cheap, and predicts for each cell
#
# - **filter logits**, one for each of 33 taps, and a **slope**: a pixel that is brighter than its
#   neighbours, as a streak is, gets less weight;
# - the **transmission**;
#
# and one **airlight** a picture. A small residual is added at the end.

# %%
model = mj.models.load("rainhaze-s")
said = nnx.jit(lambda model, picture: model.predict(picture))(model, observed[None])
predicted, rendered = (np.asarray(colour[0]).round(2) for colour in (said.airlight, made.airlight))
print("airlight predicted", predicted, "and rendered", rendered)

weights = jax.nn.softmax(said.filter_logits[0], axis=0)
centre = model.offsets.index((0, 0))
mj.show(weight_of_the_centre=weights[centre], slope=said.luma_slope[0])

# %% [markdown]
# Is the transmission the one that the weather was rendered with? Both as planes of the same cells,
# on one scale, from black where no light comes through to white where all of it does, and how far
# they are apart. They need not be equal: a pale wall nearby and a dark one behind haze may look the
# same in a picture.

# %%
true = nnx.avg_pool(made.transmission, (4, 4), (4, 4))[0, ..., 0]
guess = jax.nn.sigmoid(said.transmission_logit[0])
mj.show(
    span=(0, 1),
    transmission_predicted=guess,
    transmission_rendered=true,
    absolute_difference=jnp.abs(guess - true),
)

# %% [markdown]
# Each half of the operation alone: with one tap it only takes the haze out, with full transmission
# only the rain.

# %%
options = dict(stride=model.config.stride)
shape = said.filter_logits.shape
only_haze = mj.ops.derain_dehaze(
    observed[None],
    jnp.zeros((1, 1, *shape[2:])),
    *said[1:4],
    offsets=((0, 0),),
    **options,
)
only_rain = mj.ops.derain_dehaze(
    observed[None],
    said.filter_logits,
    said.luma_slope,
    jnp.full_like(said.transmission_logit, 20.0),
    said.airlight,
    offsets=model.offsets,
    **options,
)
detail = np.s_[60:260, 100:300]
mj.show(
    observed=observed[detail],
    only_rain_out=only_rain[0][detail],
    only_haze_out=only_haze[0][detail],
    both=restored[detail],
)

# %% [markdown]
# ## Your own photo
#
# On Colab, upload one; elsewhere, set `PHOTO` to a file.

# %%
PHOTO = os.environ.get("MAPJAX_PHOTO")
if PHOTO is None and "google.colab" in sys.modules:
    from google.colab import files

    PHOTO = next(iter(files.upload()), None)
if PHOTO is None:
    photo = mj.data.render(
        jax.random.key(9),
        jnp.asarray(data.coffee()[8:392, 108:492] / 255, jnp.float32)[None],
        settings=always_both,
    ).observed[0]
else:
    photo = jnp.asarray(mj.restore.read_photo(PHOTO).eight_bits().pixels[..., :3])
mj.compare(photo, mj.restore(photo), labels=("as it was", "restored"))

# %% [markdown]
# ## Fine-tuned on your own pictures, on every core
#
# Training is a loss, a chain of Optax, and a step, which is one pure function:
# `(state, key, batch) -> (state, metrics)`. Here the model learns from two photos. The weather is
# rendered anew in each step, so it never sees the same picture twice.
#
# The machine of a TPU on Colab or Kaggle has up to eight cores, this one may have one: the program
# is the same. A **mesh** names the devices, the batch is split over them (`shard`), and parameters
# and moments lie whole on each (`replicate`). XLA reads from that what each device has to do: draw
# the weather of its own pictures, compute their gradient, and take the mean of it with the others
# before all of them make the same update.

# %%
if SMOKE:  # a small network, which compiles quickly
    small = dict(widths=(8,), blocks=(1,), dilations=(1,), glance_width=8, glance_blocks=2)
    config = mj.models.RainHazeConfig(**small)
    model = mj.models.RainHaze(config, rngs=nnx.Rngs(0))
size = 64 if SMOKE else 128
photos = jnp.stack(
    [
        jax.image.resize(jnp.asarray(image / 255, jnp.float32), (256, 256, 3), "linear")
        for image in (data.coffee(), data.chelsea())
    ]
)
graph, params = mj.train.split(model)
optimizer = optax.flatten(mj.train.guard(optax.adam(1e-4)))  # leaves out what is not finite


def prepare(key, photos):
    of_place, of_weather = jax.random.split(key)
    top, left = jax.random.randint(of_place, (2,), 0, 256 - size)
    patches = jax.lax.dynamic_slice(photos, (0, top, left, 0), (len(photos), size, size, 3))
    return mj.data.render(of_weather, patches, settings=always_both)


def objective(params, pictures):
    restored = nnx.merge(graph, params)(pictures.observed)
    return mj.ops.charbonnier(restored, pictures.clean)


devices = mj.train.make_mesh()
step = mj.train.make_step(objective, optimizer, prepare=prepare, mesh=devices)
state = mj.train.replicate(devices, mj.train.init_state(params, optimizer))
key = mj.train.replicate(devices, jax.random.key(0))
batch = mj.train.shard(devices, jnp.concatenate([photos] * devices.size))  # two photos a device

losses = []
for _ in range(4 if SMOKE else 60):
    state, metrics = step(state, key, batch)
    losses.append(float(metrics.loss))

print("photos:", {str(part.device): part.data.shape for part in batch.addressable_shards})
whole = [leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.params)]
print(f"{sum(whole)} of {len(whole)} arrays of parameters lie whole on each device")
means = [np.mean(losses[max(0, last - 9) : last + 1]) for last in range(len(losses))]
mj.curves(
    {"each step": losses, "mean of the last 10": means}, y="Charbonnier loss", title="Fine-tuning"
)

# %% [markdown]
# The single steps go up and down with the weather that each of them drew; the mean tells. Restoring
# is split in the same way: the batch says where the work is done.

# %%
nnx.update(model, state.params)
restored = nnx.jit(lambda model, pictures: model(pictures))(model, batch)
print("restored:", {str(part.device): part.data.shape for part in restored.addressable_shards})

# %% [markdown]
# For real training there is one command, `mapjax train`, with checkpoints, validation and settings
# in one file. It runs on all devices there are, with the same parts.
