# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mapjax/mapjax/blob/main/notebooks/05_adversarial.ipynb)
#
# # 5. The adversarial game
#
# A mapping from noise to pictures is easily written; [networks](04_networks.ipynb) are such
# mappings. But by which loss should it learn? No formula says how real a picture looks, and there
# is no right answer to a noise. Goodfellow et al. (2014) let a second mapping be the loss. The
# **discriminator** D says how likely a sample is a real one, the **generator** G makes samples, and
# the two play for one number:
#
# `min_G max_D V(G, D),  V = E[log D(real)] + E[log(1 - D(G(noise)))]`
#
# In this lesson the game is watched: on a line, in the plane, in its smallest form, on digits, and
# on pictures with rain and haze.

# %%
import functools
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
from scipy.stats import norm
from skimage import data
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances
from sklearn.svm import SVC

import mapjax as mj
from mapjax.ops import hinge_game, least_squares_game, minimax_game, non_saturating_game
from mapjax.train import (
    Players,
    Samples,
    discriminate_by,
    generate_from_given,
    generate_from_noise,
    init_adversarial_state,
    make_adversarial_step,
    split,
)

SMOKE = os.environ.get("MAPJAX_SMOKE") == "1"  # a quick run, for tests
print("JAX", jax.__version__, "on", jax.devices()[0].device_kind)

# %% [markdown]
# ## The discriminator: a loss that is learnt
#
# The discriminator is a classifier of two classes. It gives a **logit**, and `D = sigmoid(logit)`.
# Let the generator stand still for a moment. The best answer at a place where real samples have the
# density p and generated ones q is `D = p / (p + q)`, so
#
# `best logit = log p - log q`.
#
# A trained one knows neither p nor q, only samples of both:

# %%
rng = np.random.default_rng(0)
predict = nnx.jit(lambda model, x: model(x))
line = np.linspace(-4, 4, 401, dtype=np.float32)
p = 0.6 * norm.pdf(line, -1.5, 0.5) + 0.4 * norm.pdf(line, 1.0, 0.6)
q = norm.pdf(line, 0.5, 1.2)


def real_numbers(count):
    left = rng.random((count, 1)) < 0.6
    return rng.normal(np.where(left, -1.5, 1.0), np.where(left, 0.5, 0.6)).astype(np.float32)


def fake_numbers(count):
    return rng.normal(0.5, 1.2, (count, 1)).astype(np.float32)


discriminator = mj.models.MLP(1, (32, 32), 1, rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(discriminator, optax.adam(1e-2), wrt=nnx.Param)


@nnx.jit
def improve(discriminator, optimizer, real, fake):
    def loss(discriminator):
        return minimax_game.discriminator(discriminator(real), discriminator(fake))

    value, gradient = nnx.value_and_grad(loss)(discriminator)
    optimizer.update(discriminator, gradient)
    return value


losses = [
    improve(discriminator, optimizer, real_numbers(512), fake_numbers(512))
    for _ in range(20 if SMOKE else 400)
]
divergence = np.trapezoid(p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)), line) / 2
print(f"loss {np.mean(losses[-50:]):.3f}, of the best {np.log(4) - 2 * divergence:.3f}")

learnt = predict(discriminator, line[:, None])[:, 0]
samples = fake_numbers(16)[:, 0]
heights, slopes = (np.interp(samples, line, y) for y in (learnt, np.gradient(learnt, line)))

figure, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="tight")
axes[0].fill_between(line, p, alpha=0.4, label="real, p")
axes[0].fill_between(line, q, alpha=0.4, label="generated, q")
axes[0].set(ylabel="density")
axes[0].legend()
axes[1].plot(line, np.log(p / q), color="tab:gray", linewidth=4, alpha=0.5, label="log p - log q")
axes[1].plot(line, learnt, color="tab:green", label="learnt")
axes[1].quiver(
    *(samples, heights, slopes, np.zeros_like(slopes)),
    **dict(color="tab:red", angles="xy", scale_units="xy", scale=5, width=0.004, zorder=3),
    label="the pull on generated samples",
)
axes[1].set(xlabel="x", ylabel="logit", ylim=(-6, 4))
axes[1].legend(loc="lower center")
plt.show()

# %% [markdown]
# Where the curve is high, real samples are more frequent than generated ones. To the generator it
# is a landscape: each of its samples is drawn uphill, by the gradient of the logit with respect to
# **the sample**, and from there the chain rule goes on to the generator's parameters. The real
# samples are never shown to it.
#
# The best discriminator's loss is `log 4 - 2 JS(p, q)`, with the Jensen-Shannon divergence of the
# two: it is a measurement of how far apart they are. A generator that minimises what the
# discriminator maximises minimises that distance, down to `p = q`, where the logit is 0 everywhere.
#
# ## The game, in the plane
#
# Now both move. One step of `mj.train.make_adversarial_step` moves the discriminator, then the
# generator against it. It is one pure function, compiled as one program: state, key and real
# samples in, state and metrics out.


# %%
def play(generator, discriminator, batches, *, generate, rate=1e-3, **options):
    """State and metrics of each step, to be looked at before the next one takes their arrays."""
    of_generator, generator = split(generator)
    of_discriminator, discriminator = split(discriminator)
    # On one long vector instead of many small arrays, which compiles and runs faster.
    optimizers = Players(*[optax.flatten(optax.adam(rate, b1=0.5))] * 2)
    step = make_adversarial_step(
        generate(of_generator), discriminate_by(of_discriminator), optimizers, **options
    )
    state = init_adversarial_state(Players(generator, discriminator), optimizers)
    for batch in batches:
        state, metrics = step(state, jax.random.key(1), batch)
        yield state, metrics


def ring(count):
    """Eight small clouds on a circle."""
    angle = rng.integers(0, 8, count) * np.pi / 4
    centre = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (centre + 0.12 * rng.standard_normal((count, 2))).astype(np.float32)


generator = mj.models.MLP(2, (64, 64), 2, activation="relu", rngs=nnx.Rngs(0))
discriminator = mj.models.MLP(2, (64, 64), 1, activation="relu", rngs=nnx.Rngs(1))
noise = rng.standard_normal((300, 2), np.float32)
side = np.linspace(-3, 3, 80, dtype=np.float32)
places = np.stack(np.meshgrid(side, side), axis=-1)


@nnx.jit
def drawn(discriminator, samples):
    """Where the non-saturating game draws each sample: down its loss."""
    return -jax.grad(lambda x: len(x) * non_saturating_game.generator(discriminator(x)))(samples)


moments = (2, 4, 6, 8, 10) if SMOKE else (20, 100, 200, 400, 1000)
figure, axes = plt.subplots(1, 5, figsize=(15, 3.6), layout="constrained", sharey=True)
states = play(
    generator,
    discriminator,
    (ring(256) for _ in range(moments[-1])),
    generate=functools.partial(generate_from_noise, latent_features=2),
    r1=0.1,
)
for step, (state, _) in enumerate(states, start=1):
    if step in moments:
        nnx.update(generator, state.params.generator)
        nnx.update(discriminator, state.params.discriminator)
        axis = axes[moments.index(step)]
        landscape = axis.imshow(
            predict(discriminator, places)[..., 0],
            cmap="RdBu_r",
            vmin=-2,
            vmax=2,
            extent=(-3, 3, -3, 3),
            origin="lower",
        )
        made = np.asarray(predict(generator, noise))
        axis.plot(*ring(300).T, ".", color="black", markersize=3, alpha=0.5, label="real")
        axis.plot(*made.T, ".", color="lime", markersize=3, label="generated")
        some = made[:40]
        axis.quiver(*some.T, *np.asarray(drawn(discriminator, some)).T, color="darkgreen")
        axis.set(title=f"step {step}", xlabel="x", xlim=(-3, 3), ylim=(-3, 3))
axes[0].set(ylabel="y")
axes[0].legend(loc="upper left", fontsize="small")
figure.colorbar(landscape, ax=axes, label="logit", shrink=0.8)
plt.show()

# %% [markdown]
# Red is where the discriminator expects real samples, blue where it expects generated ones; the
# arrows say where the generated ones are drawn to. Wherever there are too many of them, the ground
# turns blue and they are pushed out; where a cloud is missing, a red hill rises and draws them. In
# the end the samples lie on the clouds, and there the landscape is flat: nothing is left to tell
# apart.
#
# ## The games
#
# A confident discriminator is a problem. In the game as it stands the generator minimises
# `log(1 - D)`, and the slope of that, with respect to the logit, is `-D`: **where the discriminator
# is sure of a fake, D = 0, there is no gradient**. The loss *saturates* when the generator needs it
# most. Goodfellow's remedy: let the generator minimise `-log D` instead. The slope is `D - 1`, and
# it is the largest for the worst samples. Other games change the discriminator's side, too.

# %%
games = {
    game.name: game for game in (minimax_game, non_saturating_game, hinge_game, least_squares_game)
}
logits = jnp.linspace(-5, 5, 201)
print(f"{'game':15} pull at a logit of -5")
figure, axes = plt.subplots(1, 3, figsize=(14, 3.6), layout="tight")
for (name, game), line_style in zip(games.items(), ("-", "-", "--", ":"), strict=True):
    loss, slope = jax.vmap(jax.value_and_grad(game.generator))(logits)
    print(f"{name:15} {-slope[0]:.3f}")
    axes[0].plot(logits, loss, line_style, label=name)
    axes[1].plot(logits, -slope, line_style, label=name)
axes[0].set(ylabel="loss of the generator", ylim=(-5, 8))
axes[1].set(ylabel="pull towards real: - slope", ylim=(-1.5, 3))
for axis in axes[:2]:
    axis.axvspan(-5, -2, color="tab:gray", alpha=0.2)
    axis.set(xlabel="logit of a generated sample", title="grey: the discriminator is sure")
axes[0].legend()


@functools.partial(jax.jit, static_argnums=0)
def way_home(generator_loss, start=5.0, rate=0.05, steps=400):
    """The mean of what is generated, step by step; the discriminator is always the best."""
    z = jnp.linspace(-6, 6, 401)
    density = jnp.exp(-(z**2) / 2) / jnp.sqrt(2 * jnp.pi)

    def loss(mean, best):
        x = mean + z
        logits = best**2 / 2 - best * x  # log p - log q, for means of 0 and `best`
        return jnp.trapezoid(density * jax.vmap(generator_loss)(logits), z)

    def move(mean, _):
        return mean - rate * jax.grad(loss)(mean, mean), mean

    return jax.lax.scan(move, start, length=steps)[1]


for game in (minimax_game, non_saturating_game):
    axes[2].plot(way_home(game.generator), label=game.name)
axes[2].set(xlabel="step", ylabel="distance to the real mean", title="The way home")
axes[2].legend()
plt.show()

# %% [markdown]
# The plot on the right plays two of these games in the simplest case. Real numbers are normally
# distributed around 0, generated ones around a mean, which is all that the generator has to learn.
# It starts at 5, and 0 is home. After each step of the generator the discriminator is replaced by
# the best there is, the `log p - log q` from above. At 5 the two sets of numbers hardly overlap, so
# this discriminator is sure of nearly every fake: we are in the grey part of the other two plots.
#
# - The minimax loss is nearly flat there. The generator is told almost nothing, so it creeps: after
#   100 steps it is still close to where it began, and after 400 it has not arrived.
# - The non-saturating loss is steepest there. The generator takes its largest steps at the start,
#   and is nearly home after 100.
#
# Of the other two games, least squares pulls the harder, the further a logit is from that of real
# samples, and hinge with the same force everywhere.
#
# ## Why a game goes round in circles
#
# Gradient descent on a loss goes downhill. Two gradients that work against each other need not:
# each changes the hill that the other walks on. The smallest game shows it (Mescheder et al. 2018).
# The real samples are all 0, the generator is a number, its sample; the discriminator is a number,
# its slope: `logit = slope * sample`. Both are best at 0.
#
# The cure of the same authors is the **R1 penalty**, `|d logit / d sample|^2 / 2` at the real
# samples, added to the discriminator's loss: it is to be flat where the real samples are.


# %%
def orbit(r1, steps):
    """`(place, slope)` of the players after each step."""
    optimizers = Players(optax.sgd(0.2), optax.sgd(0.2))
    step = make_adversarial_step(
        lambda place, key, samples: place * jnp.ones_like(samples.real),
        lambda slope, x, samples: slope * x,
        optimizers,
        r1=r1,
    )
    state = init_adversarial_state(Players(jnp.float32(1), jnp.float32(0)), optimizers)
    for _ in range(steps):
        yield float(state.params.generator), float(state.params.discriminator)
        state, _ = step(state, jax.random.key(0), jnp.zeros((1,)))


orbits = {r1: np.array([*orbit(r1, 10 if SMOKE else 150)]) for r1 in (0.0, 0.5)}
place, slope = np.meshgrid(*[np.linspace(-1.5, 1.5, 25)] * 2)
sigmoid = 1 / (1 + np.exp(-place * slope))
figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="tight")
for axis, (r1, path) in zip(axes, orbits.items(), strict=False):
    to_place, to_slope = (1 - sigmoid) * slope, -sigmoid * place - r1 * slope
    axis.streamplot(place, slope, to_place, to_slope, color="tab:gray", linewidth=0.6, density=0.8)
    axis.plot(*path.T, ".-", color="tab:red", markersize=4)
    axis.plot(0, 0, "*", color="tab:blue", markersize=14)
    axis.set(xlabel="place of the sample", ylabel="slope of the discriminator", title=f"{r1 = }")
    axes[2].plot(path[:, 0], label=f"{r1 = }")
axes[2].set(xlabel="step", ylabel="place of the sample")
axes[2].legend()
plt.show()

# %% [markdown]
# The discriminator tilts, the sample slides past 0, the discriminator tilts back: without the
# penalty they circle, and hardly come closer. With it, the tilt wears off near the real samples,
# and the circle becomes a short spiral.
#
# ## Digits
#
# The same step with larger mappings: `mj.models.Generator` makes a picture of 8x8 pixels from 16
# numbers, `mj.models.Discriminator` judges it. Both are small convolutional networks. We play
# twice, without and with R1, and measure how far the generated digits are from digits that neither
# player has seen. That is done by the **energy distance**, `2 E|x - y| - E|x - x'| - E|y - y'|`,
# which is 0 for equal distributions only. For samples of real digits it is a little more.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images = (digits.images[order, :, :, None] / 16).astype(np.float32)
labels = digits.target[order]
test, train = slice(397), slice(397, None)


def distance(x, y):
    """The energy distance between two sets of pictures."""
    x, y = (np.asarray(pictures).reshape(len(pictures), -1) for pictures in (x, y))
    return 2 * pairwise_distances(x, y).mean() - sum(pairwise_distances(s).mean() for s in (x, y))


def strips(**rows):
    """Pictures in rows, one below the other."""
    _, axes = plt.subplots(len(rows), 1, figsize=(10, 0.75 * len(rows)), layout="tight")
    for axis, (name, pictures) in zip(axes, rows.items(), strict=True):
        tiles = np.pad(pictures[:16, ..., 0], ((0, 0), (0, 0), (0, 1)))
        axis.imshow(np.hstack(tiles), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(name.replace("_", " "), rotation=0, ha="right", va="center")
    plt.show()


def batches(steps):
    for _ in range(steps):
        yield images[train][rng.integers(0, len(images[train]), 64)]


steps, every = (12, 4) if SMOKE else (1200, 25)
noise = rng.standard_normal((397, 16), np.float32)
networks, distances, seen = {}, {}, {}
for r1 in (0.0, 1.0):
    generator = mj.models.Generator(16, 1, size=8, width=16, rngs=nnx.Rngs(0))
    averaged = nnx.clone(generator)
    discriminator = mj.models.Discriminator(1, size=8, width=32, rngs=nnx.Rngs(1))
    states = play(
        generator,
        discriminator,
        batches(steps),
        generate=functools.partial(generate_from_noise, latent_features=16),
        r1=r1,
        ema_decay=0.99,
    )
    distances[r1], seen[r1] = [], {}
    for step, (state, _) in enumerate(states, start=1):
        if step % every == 0:
            nnx.update(generator, state.params.generator)
            nnx.update(averaged, state.ema)
            made = [np.asarray(predict(network, noise)) for network in (generator, averaged)]
            distances[r1].append([distance(pictures, images[test]) for pictures in made])
            seen[r1][step] = made[1]
    nnx.update(discriminator, state.params.discriminator)
    networks[r1] = averaged, discriminator

figure, axis = plt.subplots(figsize=(8, 3.6), layout="tight")
for (r1, curves), colour in zip(distances.items(), ("tab:orange", "tab:blue"), strict=True):
    at = every * np.arange(1, len(curves) + 1)
    for curve, style, name in zip(np.transpose(curves), "-:", ("", ", averaged"), strict=True):
        axis.semilogy(at, curve, style, color=colour, label=f"{r1 = }{name}")
floor = distance(images[train][:397], images[test])
axis.axhline(floor, color="tab:gray", linestyle="--", label="real digits")
axis.set(xlabel="step", ylabel="energy distance", title="From generated digits to real ones")
axis.legend(ncols=2)
plt.show()

# %% [markdown]
# Without the penalty the generator comes close again and again, and is driven off again: the
# circles of the plane, in a space of many dimensions. With it, it stays. The **average** of its
# parameters over the steps, which the state carries along, lies in the middle of the circle, and is
# better in both; it is what one uses. A few noises, and what becomes of them:

# %%
generator, discriminator = networks[1.0]
moments = [*seen[1.0]][:: max(1, len(seen[1.0]) // 6)]
strips(**{f"step_{step}": seen[1.0][step] for step in moments}, real=images[test])

# %% [markdown]
# Are all ten digits there? A generator that makes a perfect 3 and nothing else fools a
# discriminator for a while (**mode collapse**). We ask somebody who had no part in the game: a
# support vector machine that reads 99 % of the test digits.

# %%
flat = images.reshape(len(images), -1)
reader = SVC().fit(flat[train], labels[train])
print(f"{100 * reader.score(flat[test], labels[test]):.1f} % of the test digits are read right")
made = np.asarray(predict(generator, noise))
figure, axis = plt.subplots(figsize=(8, 2.8), layout="tight")
for name, pictures, offset in (("real", images[test], -0.2), ("generated", made, 0.2)):
    read = reader.predict(pictures.reshape(len(pictures), -1))
    axis.bar(np.arange(10) + offset, np.bincount(read, minlength=10), 0.38, label=name)
axis.set(xlabel="read as", ylabel="of 397", xticks=range(10), ylim=(0, 75))
axis.legend(ncols=2)
plt.show()

# %% [markdown]
# And are they new? In the upper row a straight path from one noise to another: the digits on the
# way have nobody's hand. Below each, the digit of the training set that is nearest to it.

# %%
path = np.linspace(noise[0], noise[5], 16)
walk = np.asarray(predict(generator, path))
nearest = pairwise_distances(walk.reshape(16, -1), flat[train]).argmin(axis=1)
strips(on_the_way=walk, nearest=images[train][nearest])

# %% [markdown]
# ## The discriminator's view
#
# What does the discriminator look at? Its gradient with respect to a picture says which pixels
# should be brighter (red) or darker (blue) for the picture to look more real. We spoil real digits
# and ask.

# %%
spoilt = images[test][:8].copy()
spoilt[:, 3, 2:6] = 1 - spoilt[:, 3, 2:6]


@nnx.jit
def view(discriminator, pictures):
    return jax.grad(lambda pictures: discriminator(pictures).sum())(pictures)


wishes = np.asarray(view(discriminator, spoilt))
figure, axes = plt.subplots(3, 8, figsize=(10, 4), layout="tight")
for column, whole, broken, wish in zip(axes.T, images[test], spoilt, wishes, strict=False):
    column[0].imshow(whole[..., 0], cmap="gray")
    column[1].imshow(broken[..., 0], cmap="gray")
    limit = np.abs(wish).max()
    column[2].imshow(wish[..., 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
for axis, name in zip(axes[:, 0], ("real", "spoilt", "view"), strict=True):
    axis.set_ylabel(name)
plt.show()

# %% [markdown]
# ## Given something: rain and haze
#
# A generator that is given a spoilt picture instead of noise restores it. Here it is given pictures
# with rain **and** haze, which `mj.data.render` draws anew over the clean patches of each step. The
# discriminator sees what was given beside the answer: is this the scene behind that weather? A
# `PatchDiscriminator` says so for each of many overlapping patches, so its subject is detail. A
# loss of the **content** keeps the answer near the right one (Isola et al. 2017).
#
# Haze multiplies and adds, so the generator answers with a factor and an addend for each pixel. It
# is trained twice from the same start, by the content alone and with the game, on patches of four
# photos. Both are watched on patches of a fifth one: how far from the clean picture they are, and
# how steep their edges, which a mean of all that may be true has not.

# %%
BOTH = mj.data.RenderSettings(
    rain_only=0.0,
    haze_only=0.0,
    rain_and_haze=1.0,
    density=(0.2, 0.9),
    streak_length=(6.0, 40.0),  # small pictures have small streaks
    streak_width=(1.0, 2.0),
)


class Restorer(nnx.Module):
    """A clean picture from one with rain and haze, by convolutions on cells of 2x2 pixels."""

    def __init__(self, width=32, *, rngs):
        layers, inputs = [], 12
        for apart in (1, 2, 4, 8):  # so that the last one sees the whole patch
            kinds = dict(kernel_dilation=apart, rngs=rngs)
            layers += [mj.nn.Conv2d(inputs, width, (3, 3), **kinds), nnx.relu]
            inputs = width
        self.layers = nnx.Sequential(*layers, mj.nn.Conv2d(width, 24, (3, 3), rngs=rngs))

    def __call__(self, given):
        cells = self.layers(mj.nn.space_to_depth(given, 2))
        factor, addend = (mj.nn.depth_to_space(part, 2) for part in jnp.split(cells, 2, axis=-1))
        return given * jnp.exp(factor) + addend


def half(photo):
    rows, columns = photo.shape[0] // 2, photo.shape[1] // 2
    pixels = photo[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    return (pixels.mean((1, 3)) / 255).astype(np.float32)


def patches(photos, steps, *, count=8, side=64):
    """Anywhere in the photos, their colours in any order: four photos have few of them."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = [photos[i] for i in rng.integers(len(photos), size=count)]
        corners = [rng.integers(np.array(photo.shape[:2]) - side) for photo in chosen]
        cut = zip(chosen, corners, strict=True)
        yield np.stack([p[y : y + side, x : x + side, rng.permutation(3)] for p, (y, x) in cut])


def behind_weather(clean, number):
    made = mj.data.render(jax.random.fold_in(jax.random.key(3), number), clean, settings=BOTH)
    return Samples(real=made.clean, given=made.observed)


def psnr(pictures):
    return float(-10 * jnp.log10(jnp.mean((pictures - pair.real) ** 2)))


def edges(pictures):
    return float(jnp.mean(jnp.abs(jnp.diff(pictures, axis=2))))


colourful = data.coffee(), data.chelsea(), data.rocket(), data.stereo_motorcycle()[0]
photos, unseen = [half(photo) for photo in colourful], half(data.astronaut())
places = [(y, x) for y in (0, 64, 128, 192) for x in (0, 64, 128, 192)]
pair = behind_weather(np.stack([unseen[y : y + 64, x : x + 64] for y, x in places]), 0)
steps, every = (4, 2) if SMOKE else (600, 30)
restored, curves, judged = {}, {}, []
for name, adversarial in (("content", 0.0), ("content and game", 0.03)):
    generator = Restorer(rngs=nnx.Rngs(0))
    played = play(
        generator,
        mj.models.PatchDiscriminator(6, width=16, layers=2, rngs=nnx.Rngs(1)),
        map(behind_weather, patches(photos, steps), range(1, steps + 1)),
        generate=generate_from_given,
        prepare=lambda key, samples: samples,
        content=mj.ops.charbonnier,
        adversarial=adversarial,
        game=least_squares_game,
        rate=2e-3,
        ema_decay=0.98,
    )
    curves[name] = []
    for step, (state, metrics) in enumerate(played, start=1):
        if adversarial:
            judged.append((metrics.real_logit, metrics.fake_logit))
        if step % every == 0:
            nnx.update(generator, state.ema)
            restored[name] = predict(generator, pair.given)
            curves[name].append((psnr(restored[name]), edges(restored[name])))

figure, axes = plt.subplots(1, 3, figsize=(14, 3.6), layout="tight")
at = every * np.arange(1, steps // every + 1)
for name, values in curves.items():
    for axis, curve in zip(axes, np.transpose(values), strict=False):
        axis.plot(at, curve, label=name)
axes[0].axhline(psnr(pair.given), color="tab:gray", linestyle=":", label="given")
axes[0].set(xlabel="step", ylabel="PSNR, dB", title="Nearness to the clean picture")
for pictures, style, name in ((pair.given, ":", "given"), (pair.real, "--", "clean")):
    axes[1].axhline(edges(pictures), color="tab:gray", linestyle=style, label=name)
axes[1].set(xlabel="step", ylabel="mean |difference| of neighbours", title="Edges")
for curve, name in zip(np.transpose(judged), ("real", "restored"), strict=True):
    axes[2].plot(1 + np.arange(steps), curve, label=name, linewidth=0.8)
axes[2].set(xlabel="step", ylabel="mean logit", title="The game: the discriminator's view")
for axis in axes:
    axis.legend()
plt.show()

# %%
rows = {"given": pair.given, **restored, "clean": pair.real}
figure, axes = plt.subplots(len(rows), 8, figsize=(14, 7), layout="tight")
for row, (name, pictures) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name)
    for axis, picture in zip(row, pictures[1::2], strict=True):
        axis.imshow(np.clip(picture, 0, 1))
        axis.set(xticks=[], yticks=[])
for name in ("given", *restored):
    print(f"{name:16}  PSNR {psnr(rows[name]):.2f} dB, edges {edges(rows[name]):.4f}")
print(f"{'clean':16}                 edges {edges(pair.real):.4f}")
plt.show()

# %% [markdown]
# After the last step the two are about equally near to the clean pictures, and the edges of the one
# that played are steeper: the loss of the content hardly sees what the game asks for. That is no
# gain by itself. Both have more edges than the clean pictures, for streaks are edges, too, and both
# took some of the haze out, but leave most of the rain where it was.
#
# The row of the game shows what it is paid with. The green tint that the content alone leaves in
# some pictures is weaker, and instead there are stains, purple, green and dark, in places that are
# smooth behind the weather. The discriminator asks whether a detail could be real, not whether it
# is this one. Nor is it fooled: the logits of real and restored pictures stay apart to the end.
#
# So much for a small network, four photos and 600 steps. The
# [next lesson](06_rain_and_haze.ipynb) has a network that was made for this weather.
