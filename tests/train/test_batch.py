import jax
import numpy as np

from mapjax.data import Rendered, RenderSettings
from mapjax.train import batch as module
from mapjax.train.batch import Batch, observe


def test_pairs_take_the_place_of_rendered_pictures(monkeypatch):
    def render(key, clean, *, settings, streaks, depth):
        return Rendered(0.5 * clean, 0.9 * clean, clean, clean[..., :1], clean[:, 0, 0])

    monkeypatch.setattr(module, "render", render)  # the real one takes long to compile
    clean = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    unknown = np.full((2, 8, 8), np.nan, np.float32)
    batch, settings = Batch(clean, unknown, None), RenderSettings()
    rendered, nothing = observe(jax.random.key(0), batch, settings=settings)
    assert nothing is None
    for paired in (None, np.array([False, True])):
        pairs = batch._replace(observed=255 - clean, paired=paired)
        made, which = observe(jax.random.key(0), pairs, settings=settings)
        assert which.tolist() == ([True, True] if paired is None else paired.tolist())
        for i, is_pair in enumerate(which):
            shown = (255 - clean[i]) / np.float32(255) if is_pair else rendered.observed[i]
            truth = clean[i] / np.float32(255) if is_pair else rendered.clean[i]
            np.testing.assert_array_equal(made.observed[i], shown)
            np.testing.assert_array_equal(made.clean[i], truth)
