import jax
import numpy as np
import pytest

from mapjax.models import DarkChannel, RainHaze, RainHazeConfig
from mapjax.restore import export_restore, restore


@pytest.fixture(scope="module")
def small(drawn):
    """A small network with one of the two heads."""

    def make(head):
        config = RainHazeConfig(
            widths=(8,),
            blocks=(1,),
            dilations=(1,),
            glance_size=16,
            glance_width=8,
            glance_blocks=1,
            head=head,
        )
        return drawn(RainHaze, config)

    return make


def test_program_that_was_stored_restores_as_the_model_does(small):
    model = small("convolution")  # the layer takes as long to compile as all the rest
    picture = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    program = export_restore(model, height=21, width=30).serialize()
    restored = jax.export.deserialize(program).call(picture)
    np.testing.assert_array_equal(restored, restore(picture, model=model))


@pytest.mark.parametrize("platform, kernel", [("tpu", "tpu_custom_call"), ("cuda", None)])
def test_lowered_for_a_device_that_is_not_there(small, platform, kernel):
    exported = export_restore(small("unified"), height=64, width=256, platform=platform)
    assert exported.platforms == (platform,)
    assert kernel is None or kernel in exported.mlir_module()
    assert len(exported.serialize()) > 10_000


@pytest.mark.parametrize("options", [{"height": 0}, {"platform": "gpu"}])
def test_what_cannot_be_exported_is_refused(options):
    with pytest.raises(ValueError, match="export_restore: "):
        export_restore(DarkChannel(), **{"height": 8, "width": 8, **options})
