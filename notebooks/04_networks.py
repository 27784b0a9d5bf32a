# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mapjax/mapjax/blob/main/notebooks/04_networks.ipynb)
#
# # 4. Networks
#
# A layer is an operation with parameters, and a network is layers, one after the other: a mapping
# again. This lesson asks what each ingredient buys. First the **perceptron**: what non-linearity
# buys, and what depth. Then **convolution and pooling**: what a network gains that knows that its
# input is a picture.

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
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from skimage import data
from sklearn.datasets import load_digits

import mapjax as mj

SMOKE = os.environ.get("MAPJAX_SMOKE") == "1"  # a quick run, for tests
print("JAX", jax.__version__, "on", jax.devices()[0].device_kind)

# %% [markdown]
# Every training below is this one: a loss of a model and a random key, its gradient, and Adam. It
# is a generator, so that we can look at the model between two steps.


# %%
def training(model, loss, steps, rate=1e-2):
    """The loss of each step. The model is changed in place."""
    schedule = optax.cosine_decay_schedule(rate, steps)
    optimizer = nnx.Optimizer(model, optax.adam(schedule), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, key):
        value, gradient = nnx.value_and_grad(loss)(model, key)
        optimizer.update(model, gradient)
        return value

    for key in jax.random.split(jax.random.key(1), steps):
        yield step(model, optimizer, key)


predict = nnx.jit(lambda model, x: model(x))


def parameters(model):
    return sum(array.size for array in jax.tree.leaves(nnx.state(model, nnx.Param)))


def show(size=2.5, **pictures):
    """Pictures side by side; those without colours in grey, from their lowest to their highest."""
    figure = plt.figure(figsize=(size * len(pictures), size + 0.3), layout="tight")
    axes = figure.subplots(1, len(pictures))
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(np.clip(picture, 0, 1) if picture.ndim == 3 else picture, cmap="gray")
        axis.set(title=title.replace("_", " "), xticks=[], yticks=[])
    plt.show()


# %% [markdown]
# ## What non-linearity buys: bends
#
# The smallest mapping with parameters is the affine one, `w x + b`. Affine after affine is affine:
# a hundred such layers draw one straight line. So each layer ends with something that is not, and
# the simplest is `relu(x) = max(0, x)`. A unit of such a layer, `relu(w x + b)`, is flat on one
# side of `x = -b / w` and sloped on the other. The next layer adds units up: a line with **one bend
# a unit**. Training moves the bends to where the function is curved.


# %%
def spread(model):
    """Let the units of the first layer bend somewhere in [-1, 1]: zero biases bend all at 0."""
    first = model.layers.layers[0]
    places = np.random.default_rng(1).uniform(-1, 1, first.kernel.shape).astype(np.float32)
    first.bias[...] = -jnp.sum(first.kernel[...] * places, axis=0)
    return model


x = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
wanted = np.sin(4 * x + 0.5) + 0.4 * x


def misfit(model, key):
    return jnp.mean((model(x) - wanted) ** 2)


model = spread(mj.models.MLP(1, (16,), 1, activation="relu", rngs=nnx.Rngs(0)))
steps = 20 if SMOKE else 1500
moments = (0, steps // 15, steps - 1)
figure, axes = plt.subplots(1, 3, figsize=(12, 3), sharey=True)
for step, _ in enumerate(training(model, misfit, steps)):
    if step in moments:
        axis = axes[moments.index(step)]
        axis.plot(x, wanted, color="tab:gray", linewidth=4, alpha=0.4, label="wanted")
        axis.plot(x, np.polyval(np.polyfit(x[:, 0], wanted[:, 0], 1), x), ":", label="best line")
        found = predict(model, x)
        axis.plot(x, found, label="16 units")
        first = model.layers.layers[0]
        bends = np.asarray(-first.bias[...] / first.kernel[0])
        bends = bends[np.abs(bends) < 1]
        axis.plot(
            bends, np.interp(bends, x[:, 0], found[:, 0]), ".", color="tab:red", label="bends"
        )
        error = np.sqrt(np.mean((found - wanted) ** 2))
        axis.set(title=f"step {step + 1}, error {error:.3f}", xlabel="x")
axes[0].set(ylabel="y")
axes[0].legend()
plt.show()

# %% [markdown]
# That a network without activations is one affine map, whatever its depth, need not be multiplied
# out: its derivative is the same everywhere.

# %%
here, there = np.float32([0.3, -1.0, 2.0]), np.float32([-4.0, 0.5, 0.1])
for activation in (None, "relu"):
    network = mj.models.MLP(3, (32, 32), 2, activation=activation, rngs=nnx.Rngs(0))
    jacobian = jax.jit(jax.jacobian(network))
    print(
        activation, "- the same matrix at two points:", np.allclose(jacobian(here), jacobian(there))
    )

# %% [markdown]
# ## What depth buys: folds
#
# A layer that is followed by another does more than bend. Two units make a tent, which lays the
# right half of [0, 1] over the left one: whatever comes next is drawn on both halves. Do that
# again, and it is drawn four times.


# %%
@jax.jit
def tent(x):
    """[0, 1] folded in the middle: a layer of two units, and a sum of them."""
    units = mj.ops.dense(x, jnp.ones((1, 2)), jnp.array([0.0, -0.5]), activation="relu")
    return mj.ops.dense(units, jnp.array([[2.0], [-4.0]]))


x = np.linspace(0, 1, 513, dtype=np.float32)[:, None]
folds = [x]
for _ in range(7):
    folds.append(np.asarray(tent(folds[-1])))


def pieces(line):
    """Straight ones: where the slope changes, a new one begins."""
    slopes = np.diff(line[:, 0])
    return 1 + np.sum(slopes[1:] != slopes[:-1])


figure, axes = plt.subplots(1, 4, figsize=(14, 2.8))
for axis, depth in zip(axes[:3], (1, 2, 4), strict=True):
    axis.plot(x, folds[depth])
    axis.set(title=f"folds: {depth}, units: {2 * depth}", xlabel="x", ylabel="y")
units = 2 * np.arange(1, 8)
axes[3].semilogy(units, [pieces(line) for line in folds[1:]], "o-", label="two units a layer")
axes[3].semilogy(units, units + 1, "o-", label="one layer, at most")
axes[3].set(title="Straight pieces", xlabel="units", ylabel="pieces", xticks=units)
axes[3].legend()
plt.tight_layout()
plt.show()

# %% [markdown]
# With each layer the pieces double. What depth draws with 14 units takes a single layer 127.
#
# ### A picture, learnt
#
# The first lesson began with it: a picture is a mapping from a row and a column to a colour. So a
# perceptron can learn one. Without activation it is an affine map, of which we take the best there
# is. The wide and the deep network have the same number of parameters. The last one is given waves
# of the place instead of the place: what a network is to learn should not be far from what it gets.

# %%
cup = (data.coffee()[40:360, 120:440] / np.float32(255)).reshape(64, 5, 64, 5, 3).mean((1, 3))
side = np.linspace(-1, 1, 64, dtype=np.float32)
places = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1)

phases = np.concatenate([np.float32(np.pi * 2**k) * places for k in range(5)], axis=-1)
waves = np.concatenate([np.sin(phases), np.cos(phases)], axis=-1)


def psnr(picture):
    return -10 * np.log10(np.mean((np.clip(picture, 0, 1) - cup) ** 2))


def learn(model, given):
    """The colours of `cup` from what is given at each pixel."""
    given, colours = jnp.asarray(given), jnp.asarray(cup)

    def loss(model, key):
        row, column = jax.random.randint(key, (2, 1024), 0, 64)
        return jnp.mean((model(given[row, column]) - colours[row, column]) ** 2)

    losses = [*training(model, loss, 20 if SMOKE else 1500)]
    learnt = predict(model, given)
    print(f"{parameters(model)} parameters, {len(losses)} steps: PSNR {psnr(learnt):.1f} dB")
    return np.asarray(learnt)


flat = np.concatenate([places, np.ones_like(places[..., :1])], axis=-1).reshape(-1, 3)
affine = flat @ np.linalg.lstsq(flat, cup.reshape(-1, 3))[0]
wide = spread(mj.models.MLP(2, (384,), 3, activation="relu", rngs=nnx.Rngs(0)))
deep = spread(mj.models.MLP(2, (32, 32, 32), 3, activation="relu", rngs=nnx.Rngs(0)))
fresh = nnx.clone(deep)
wavy = mj.models.MLP(20, (32, 32, 32), 3, activation="relu", rngs=nnx.Rngs(0))
learnt = dict(wide=learn(wide, places), deep=learn(deep, places), deep_on_waves=learn(wavy, waves))
show(picture=cup, best_affine_map=affine.reshape(cup.shape), **learnt)

# %% [markdown]
# At equal size the deep network draws the sharper picture. What does it draw with? A network of
# bends is cut like a gem, into flat facets, on each of which it is affine. Its gradient is constant
# on a facet, so it shows them. Here each facet of the deep network has a colour of its own.


# %%
@nnx.jit
def slopes(model, places):
    return jax.vmap(jax.grad(lambda place: model(place).sum()))(places)


def facets(model):
    side = np.linspace(-1, 1, 200, dtype=np.float32)
    places = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    kinds, which = np.unique(np.round(slopes(model, places), 4), axis=0, return_inverse=True)
    colours = np.random.default_rng(0).uniform(0.2, 1, (len(kinds), 3))
    return colours[which.reshape(200, 200)]


show(
    2.6,
    facets_before_training=facets(fresh),
    facets_after=facets(deep),
    and_what_they_draw=learnt["deep"],
)

# %% [markdown]
# ## Convolution: the same few weights at every place
#
# From here on the picture is the input. A dense layer from a picture of 256x256 pixels to one of
# the same size has 4 billion weights, and what it learns in one corner it does not know in the
# others. A convolution looks at 3x3 pixels, with the same nine weights everywhere. Four filters
# written by hand, and what they see, their **feature maps**:

# %%
camera = data.camera()[60:318, 120:378] / np.float32(255)
filters = {
    "mean": [[1 / 9, 1 / 9, 1 / 9], [1 / 9, 1 / 9, 1 / 9], [1 / 9, 1 / 9, 1 / 9]],
    "upright edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "level edges": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "spots": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
kernel = np.moveaxis(np.float32(list(filters.values())), 0, -1)[:, :, None]  # 3, 3, 1, 4
image = camera[None, :, :, None]
maps = np.asarray(mj.ops.conv2d(image, kernel, padding="VALID"))  # 256x256 see all 3x3 pixels

figure, axes = plt.subplots(2, 5, figsize=(11, 4.6))
axes[1, 0].imshow(camera, cmap="gray")
axes[1, 0].set(title="picture")
axes[0, 0].axis("off")
for index, name in enumerate(filters):
    weights, seen = kernel[:, :, 0, index], maps[0, :, :, index]
    for axis, values in zip(axes[:, index + 1], (weights, seen), strict=True):
        limit = np.quantile(np.abs(values), 0.995)
        axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[0, index + 1].set(title=name)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
plt.tight_layout()
plt.show()

# %% [markdown]
# As the weights are the same everywhere, it does not matter where a thing is: move the picture, and
# its feature maps move with it. That is **equivariance**. A dense layer has to learn it from
# examples, place by place.

# %%
move = dict(shift=(5, 9), axis=(1, 2))
filtered = np.asarray(mj.ops.conv2d(np.roll(image, **move), kernel, padding="VALID"))
difference = filtered - np.roll(maps, **move)
inside = np.s_[:, 10:-10, 10:-10]  # at the edge, other pixels came in
print("moved and filtered, or filtered and moved:", np.abs(difference[inside]).max(), "apart")

# %% [markdown]
# ## Pooling: what is there, and less of where
#
# To name a thing, one need not know to the pixel where it is. Pooling keeps one number of each
# window, as a rule the largest: *somewhere here is an edge*. Its gradient goes to the pixel that
# won, and to no other.

# %%
edges = np.abs(maps[..., 1:2])
window = dict(window_shape=8, strides=8)
winners = jax.jit(jax.grad(lambda edges: mj.ops.max_pool(edges, **window).sum()))(edges)
show(
    3,
    upright_edges=edges[0, ..., 0],
    max_pool=mj.ops.max_pool(edges, **window)[0, ..., 0],
    avg_pool=mj.ops.avg_pool(edges, **window)[0, ..., 0],
    gradient_of_max_pool=winners[0, ..., 0],
)

# %% [markdown]
# The larger the window, the less it changes what is pooled when the picture moves by a pixel:

# %%
windows = (1, 2, 4, 8, 16)


@jax.jit
def pooled(edges):
    return [mj.ops.max_pool(edges, window_shape=size, strides=size) for size in windows]


before, after = pooled(edges), pooled(np.roll(edges, 1, axis=2))
changes = [np.abs(b - a).mean() / a.mean() for a, b in zip(before, after, strict=True)]

figure, axis = plt.subplots(figsize=(5, 2.8))
axis.plot(windows, changes, "o-")
axis.set_xscale("log", base=2)
axis.set_xticks(windows, windows)
axis.set(xlabel="pixels along a window", ylabel="relative change", ylim=(0, None))
axis.set(title="Edges, pooled, after a step of one pixel")
plt.show()

# %% [markdown]
# ### What depth buys here: a wider view
#
# After a pooling, a step of the next convolution is two pixels of the picture, after two of them
# four. So which pixels does one number in a deep layer depend on? That is a question for a
# gradient.


# %%
def depends(depth):
    """The gradient of the middle of the last layer, all weights being alike."""

    @jax.jit
    @jax.grad
    def middle(x):
        for _ in range(depth):
            x = mj.ops.conv2d(x, jnp.full((3, 3, 1, 1), 1 / 9))
            x = mj.ops.avg_pool(x, window_shape=2, strides=2)
        return x[0, x.shape[1] // 2, x.shape[2] // 2, 0]

    return np.asarray(middle(image[:, :80, :80])[0, ..., 0])


views = {f"{depth}_x_convolution,_pooling": depends(depth) for depth in (1, 2, 3, 4)}
print("pixels across:", [int((view != 0).any(axis=0).sum()) for view in views.values()])
show(2.6, **views)

# %% [markdown]
# ## Both, on digits
#
# 1797 handwritten digits of 8x8 pixels come with scikit-learn; we keep 397 for the test. Two
# networks of about one size learn the others: a perceptron that gets 64 numbers, and
# `mj.models.ConvNet`, that gets a picture: convolution, normalisation, `relu` and pooling, twice.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images = (digits.images[order, :, :, None] / 16).astype(np.float32)
labels = digits.target[order].astype(np.int32)
test, train = slice(397), slice(397, None)


class Flat(nnx.Module):
    """A perceptron of the pixels, in no order that it would know of."""

    def __init__(self, *, rngs):
        self.mlp = mj.models.MLP(64, (48, 48), 10, activation="relu", rngs=rngs)

    def __call__(self, image):
        return self.mlp(image.reshape(len(image), -1))


def mistake(model, key):
    chosen = jax.random.randint(key, (64,), 0, len(labels[train]))
    logits = model(jnp.asarray(images[train])[chosen])
    return mj.ops.softmax_cross_entropy(logits, jnp.asarray(labels[train])[chosen]).mean()


networks = {
    "perceptron": Flat(rngs=nnx.Rngs(0)),
    "ConvNet": mj.models.ConvNet(1, 10, widths=(16, 32), blocks=1, rngs=nnx.Rngs(0)),
}
losses = {
    name: np.array([*training(model, mistake, 20 if SMOKE else 500)])
    for name, model in networks.items()
}

# %% [markdown]
# The test has two parts: the digits as they are, and moved by a single pixel, of which the training
# had nothing.

# %%
margin = np.pad(images[test], ((0, 0), (1, 1), (1, 1), (0, 0)))
corners = {"as it is": (1, 1), "right": (1, 0), "left": (1, 2), "down": (0, 1), "up": (2, 1)}
moved = {name: margin[:, top : top + 8, left : left + 8] for name, (top, left) in corners.items()}

figure, axes = plt.subplots(1, 2, figsize=(12, 3.2))
for index, (name, model) in enumerate(networks.items()):
    right = [np.mean(predict(model, x).argmax(axis=-1) == labels[test]) for x in moved.values()]
    print(f"{name:10} {parameters(model)} parameters, {100 * right[0]:.1f} % right")
    axes[0].semilogy(np.convolve(losses[name], np.ones(10) / 10, "valid"), label=name)
    axes[1].bar(np.arange(5) + 0.4 * index - 0.2, right, 0.36, label=name)
axes[0].set(xlabel="step", ylabel="cross-entropy, mean of 10", title="Training")
axes[1].set(xticks=range(5), xticklabels=moved, ylabel="share read right")
axes[1].set(title="Test digits, and moved")
axes[0].legend()
plt.show()

# %% [markdown]
# Both read the digits. Moved by one pixel, the perceptron misreads half of them: for it, all of its
# numbers have changed. The feature maps of the ConvNet move along, and its pooling forgets most of
# the rest. Not all: what moves over the edge is gone, and a pooling of 2x2 has borders.
#
# ### Inside
#
# The filters that it found, and a digit as they see it, after `relu`:

# %%
model = networks["ConvNet"]
first_stage = nnx.Sequential(*model.stages.layers[:3])  # convolution, normalisation, relu
filters = np.asarray(model.stages.layers[0].kernel[...])
seen = np.asarray(predict(first_stage, images[:1]))

figure, axes = plt.subplots(2, 17, figsize=(14, 2.2))
axes[1, 0].imshow(images[0, ..., 0], cmap="gray")
for index in range(16):
    axes[0, index + 1].imshow(filters[:, :, 0, index], cmap="RdBu_r", vmin=-1, vmax=1)
    axes[1, index + 1].imshow(seen[0, ..., index], cmap="gray")
for axis in axes.flat:
    axis.axis("off")
figure.suptitle("Filters (red is positive, blue negative), and their feature maps of the digit")
plt.show()

# %% [markdown]
# What it still gets wrong makes people look twice, too:

# %%
read = predict(model, images[test]).argmax(axis=-1)
wrong = np.flatnonzero(read != labels[test])[:8]
figure, axes = plt.subplots(1, 8, figsize=(14, 2))
for axis in axes:
    axis.axis("off")
for axis, index in zip(axes, wrong, strict=False):
    axis.imshow(images[index, ..., 0], cmap="gray")
    axis.set(title=f"{labels[index]}, read as {read[index]}")
plt.show()

# %% [markdown]
# And what it is made of:

# %%
print(mj.inventory(model, images[:1]))
