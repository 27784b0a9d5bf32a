import jax
import numpy as np
import pytest
from flax import nnx

from mapjax.models import RainHaze, RainHazeConfig
from mapjax.restore import export_restore, restore


@pytest.fixture(scope="module")
def model():
    config = RainHazeConfig(
        widths=(8,), blocks=(1,), dilations=(1,), glance_size=16, glance_width=8, glance_blocks=1
    )
    return RainHaze(config, rngs=nnx.Rngs(0))


def test_program_that_was_stored_restores_as_the_model_does(model):
    picture = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    program = export_restore(model, height=21, width=30).serialize()
    restored = jax.export.deserialize(program).call(picture)
    np.testing.assert_array_equal(restored, restore(picture, model=model))


@pytest.mark.parametrize("platform, kernel", [("tpu", "tpu_custom_call"), ("cuda", None)])
def test_lowered_for_a_device_that_is_not_there(model, platform, kernel):
    exported = export_restore(model, height=64, width=256, platform=platform)
    assert exported.platforms == (platform,)
    assert kernel is None or kernel in exported.mlir_module()
    assert len(exported.serialize()) > 10_000


@pytest.mark.parametrize("options", [{"height": 0}, {"platform": "gpu"}])
def test_what_cannot_be_exported_is_refused(model, options):
    with pytest.raises(ValueError, match="export_restore: "):
        export_restore(model, **{"height": 8, "width": 8, **options})
