import pytest

from mapjax.targets import TARGETS
from mapjax.targets.devices import find_target
from mapjax.targets.target import CudaTarget, TpuTarget


def test_the_targets():
    assert {f"tpu:{name}" for name in ("v4", "v5e", "v5p", "v6e", "v7x")} <= TARGETS.keys()
    assert {f"cuda:{name}" for name in ("h100", "a100", "l4", "t4")} <= TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_figures_are_of_one_device(target):
    assert find_target(target.name) is target
    assert find_target(target) is target
    # A multiplication of matrices is worth its units; memory is no faster than arithmetic.
    assert target.bf16_peak > target.f32_peak > target.bandwidth > 1e11
    assert 1e9 < target.clock < 3e9
    assert target.fast_memory < target.memory


@pytest.mark.parametrize(
    "target", [t for t in TARGETS.values() if isinstance(t, CudaTarget)], ids=lambda t: t.name
)
def test_vector_peaks_agree_with_cores_and_clock(target):
    # A multiply-add a lane and a cycle, at the highest clock there is or somewhat below.
    assert target.f32_peak == pytest.approx(2 * target.cores * target.lanes * target.clock, rel=0.1)


@pytest.mark.parametrize(
    ("name", "side", "units"), [("v4", 128, 8), ("v5e", 128, 4), ("v5p", 128, 8), ("v6e", 256, 4)]
)
def test_matrix_peaks_agree_with_units_and_clock(name, side, units):
    # v6e: two units, each of which takes two rows a cycle.
    target = TARGETS[f"tpu:{name}"]
    assert target.bf16_peak == pytest.approx(2 * side**2 * units * target.clock, rel=0.01)


def test_an_unknown_target_is_told_what_there_is():
    with pytest.raises(ValueError, match=r"no target 'tpu:v5'; did you mean 'tpu:v5.'\?.*cuda:t4"):
        find_target("tpu:v5")


def test_a_slice_is_all_of_its_devices():
    found, one = find_target("tpu:v5e:4x8"), TARGETS["tpu:v5e"]
    assert isinstance(found, TpuTarget) and isinstance(one, TpuTarget)
    assert (found.name, found.devices, one.devices) == ("tpu:v5e:4x8", 32, 1)
    assert (found.topology, found.accelerator) == ("v5e:4x8", "v5litepod-32")
    assert found.bandwidth == one.bandwidth
    chips = find_target("tpu:v7x:2x2x2")
    assert isinstance(chips, TpuTarget) and chips.devices == 16  # two a chip


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tpu:v5e:4x4x4", "tpu:v5e is written like 2x2, got '4x4x4'"),
        ("tpu:v4:8", "no target 'tpu:v4:8'; did you mean 'tpu:v4'"),
        ("cuda:h100:2x2", "no target 'cuda:h100:2x2'; did you mean 'cuda:h100'"),
    ],
)
def test_a_slice_that_there_is_not(name, reason):
    with pytest.raises(ValueError, match=reason):
        find_target(name)


def test_the_description_of_a_gpu():
    h100, t4 = TARGETS["cuda:h100"], TARGETS["cuda:t4"]
    assert isinstance(h100, CudaTarget) and isinstance(t4, CudaTarget)
    assert (h100.architecture, t4.architecture) == ("sm_90a", "sm_75")
    assert "major: 9 minor: 0 feature_extension: ACCELERATED_FEATURES" in h100.description
    assert "major: 7 minor: 5 feature_extension: NONE" in t4.description
    assert "shared_memory_per_block_optin: 232448" in h100.description


def test_the_topology_of_a_tpu_has_the_name_of_its_generation():
    for target in TARGETS.values():
        if isinstance(target, TpuTarget):
            assert target.name.removeprefix("tpu:v")[0] in target.topology
