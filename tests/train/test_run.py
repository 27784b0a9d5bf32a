import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mapjax.data import RenderSettings
from mapjax.models import load, save
from mapjax.train import TrainingError, TrainSettings, load_data, split, train


def events(settings, kind):
    lines = (Path(settings.output) / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == kind]


@pytest.fixture(scope="module")
def whole(settings):
    """A small run that nothing interrupted: its settings, the state at its end, its averages."""
    chosen, scores, averages = settings(validate_every=2), iter((20.0, 22.0, 21.0)), []

    def validate(params):
        averages.append(jax.tree.map(np.array, params))
        return {"mean": next(scores)}

    with jax.numpy_dtype_promotion("standard"):
        return chosen, train(chosen, validate=validate), averages


def test_run_leaves_weights_log_and_settings(whole):
    chosen, state, averages = whole
    output = Path(chosen.output)
    model = load(output / "weights.safetensors")
    assert model.config == chosen.model
    np.testing.assert_array_equal(model.stem.bias[...], state.ema["stem"]["bias"])
    best = load(output / "best.safetensors")
    np.testing.assert_array_equal(best.stem.kernel[...], averages[1]["stem"]["kernel"])
    assert [line["step"] for line in events(chosen, "loss")] == [2, 4, 6]
    assert [line["mean"] for line in events(chosen, "validation")] == [20.0, 22.0, 21.0]
    assert TrainSettings.read(output / "settings.json") == chosen


def test_interrupted_and_resumed_run_equals_a_whole_one(settings, whole):
    chosen = settings(validate_every=3, checkpoint_every=100)

    def interrupt(params):
        signal.raise_signal(signal.SIGTERM)
        return {"mean": 20.0}

    handler = signal.getsignal(signal.SIGTERM)
    assert int(train(chosen, validate=interrupt).step) == 4
    assert signal.getsignal(signal.SIGTERM) is handler
    # Out of time at once, which is no loss.
    assert int(train(replace(chosen, max_minutes=1e-9), resume=True).step) == 5
    assert [line["step"] for line in events(chosen, "stopped")] == [4, 5]
    chex.assert_trees_all_equal(train(chosen, resume=True), whole[1])
    # A finished run has nothing left to do.
    chex.assert_trees_all_equal(train(chosen, resume=True), whole[1])


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_is_told_in_a_sentence_and_costs_no_checkpoint(
    settings, whole, small_disk, caplog
):
    chosen = settings(output=str(small_disk / "run"), validate_every=4)
    filler, first = small_disk / "filler", small_disk / "run" / "checkpoints" / "2"

    def fill(params):
        while not first.exists():  # it is written in the background
            time.sleep(0.01)
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        return {"mean": 20.0}

    with pytest.raises(TrainingError, match=r"No space left on device.*: make room and go on") as e:
        train(chosen, validate=fill)
    assert "\n" not in str(e.value)
    assert "Traceback" not in caplog.text
    filler.unlink()
    chex.assert_trees_all_equal(train(chosen, resume=True), whole[1])
    assert [line["step"] for line in events(chosen, "start")] == [0, 2]


def test_updates_that_are_not_finite_end_the_run(settings, tmp_path):
    chosen = settings(max_skipped=3)
    model = load(chosen.init)
    model.stem.bias[...] = jnp.full_like(model.stem.bias[...], jnp.nan)
    save(model, tmp_path / "poisoned.safetensors")
    with pytest.raises(TrainingError, match="the last 3 updates were not finite"):
        train(replace(chosen, init=str(tmp_path / "poisoned.safetensors")))


def test_output_of_another_run_is_safe(whole):
    chosen = whole[0]
    with pytest.raises(TrainingError, match="holds a run at step 6 already; go on with it"):
        train(chosen)
    wider = replace(chosen, model=replace(chosen.model, widths=(16,)))
    with pytest.raises(TrainingError, match=r"model: the run in .* cannot go on as .*widths=\(16,"):
        train(wider, resume=True)
    for name, value in {"optimizer": "muon", "frozen": ("glance",)}.items():
        with pytest.raises(TrainingError, match=f"^{name}: the run in .* begin another one, with"):
            train(replace(chosen, **{name: value}), resume=True)


def test_weights_without_checkpoints_are_safe_too(settings, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"of a run whose checkpoints were deleted")
    with pytest.raises(TrainingError, match=r"holds weights\.safetensors of a run already"):
        train(settings(output=str(tmp_path)))


def test_a_run_that_is_measured_otherwise_has_its_best_ahead(settings):
    chosen = settings(steps=(2,), warmup_steps=0, validate_every=1)
    train(chosen, validate=lambda params: {"mean": 30.0})
    best = Path(chosen.output) / "best.safetensors"
    best.unlink()
    scores = iter((25.0, 24.0))
    chosen = replace(chosen, steps=(4,), render=RenderSettings(bank=0.5))
    train(chosen, validate=lambda params: {"mean": next(scores)}, resume=True)
    # Of the third step, and not of the fourth: within a way to measure the best one stays.
    assert best.read_bytes() != (best.parent / "weights.safetensors").read_bytes()


def test_initial_weights_have_to_fit(settings):
    chosen = settings()
    with pytest.raises(TrainingError, match=r"init: .*weights.safetensors holds RainHazeConfig"):
        train(replace(chosen, model=replace(chosen.model, widths=(16,))))
    with pytest.raises(TrainingError, match=r"init: .*absent"):
        train(replace(chosen, init="absent"))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_frozen_parts_keep_their_weights_and_the_others_learn(settings, optimizer):
    chosen = settings(
        steps=(2,), warmup_steps=0, frozen=("glance",), optimizer=optimizer, weight_decay=0.1
    )
    before = split(load(chosen.init))[1]
    state = train(chosen)
    chex.assert_trees_all_equal(state.params["glance"], before["glance"])
    chex.assert_trees_all_close(state.ema["glance"], before["glance"], rtol=1e-6)
    for name in before.keys() - {"glance"}:
        moved = jax.tree.map(lambda a, b: np.any(a != b), state.params[name], before[name])
        assert all(jax.tree.leaves(moved)), name


def test_parts_to_freeze_have_to_be_there_and_leave_some(settings):
    with pytest.raises(TrainingError, match="frozen: glanze is none of .*; did you mean glance?"):
        train(settings(frozen=("glanze",)))
    every = tuple(split(load(settings().init))[1])
    with pytest.raises(TrainingError, match="frozen: .*nothing is left to train"):
        train(settings(frozen=every))


def test_truncated_picture_is_named(settings, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.effect_noise((64, 64), 90).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:900])
    with pytest.raises(OSError, match=r"cut\.png: cannot be read as a picture"):
        load_data(settings(clean=(str(folder),)))


def test_picture_that_breaks_a_run_costs_no_more_than_the_interval(
    settings, whole, clean_folder, tmp_path
):
    """Pictures that do not fit into memory are decoded when they are drawn."""
    folder = shutil.copytree(clean_folder, tmp_path / "pictures")
    chosen = settings(clean=(str(folder),), memory=0.0, workers=1)
    intact = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(intact[:-300])
    with pytest.raises(OSError, match=r"2\.png: cannot be read as a picture"):
        train(chosen)
    (folder / "2.png").write_bytes(intact)
    chex.assert_trees_all_equal(train(chosen, resume=True), whole[1])


def test_one_small_picture_is_a_data_set(settings, tmp_path):
    Image.effect_noise((11, 9), 90).save(tmp_path / "only.png")
    chosen = settings(clean=(str(tmp_path),))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(train(chosen).params))
    assert [line["skipped"] for line in events(chosen, "loss")] == [0, 0, 0]


@pytest.mark.breadth
def test_killed_run_resumes_to_the_same_weights(settings, whole, compiling):
    """SIGKILL in the middle of the write of a checkpoint, of the whole command."""
    chosen = settings(checkpoint_every=1)
    output = Path(chosen.output)
    (output / "settings.json").write_text(chosen.to_json())
    checkpoints = output / "checkpoints"

    def writes():
        written = [path.name for path in checkpoints.glob("*")]
        return "1" in written and any("tmp" in name for name in written)

    with run_in_a_process(output, compiling) as process:
        deadline = time.monotonic() + 300
        while not writes() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    resumed = train(chosen, resume=True)
    assert events(chosen, "start")[-1]["step"] in range(1, 6)
    chex.assert_trees_all_equal(resumed, whole[1])


def run_in_a_process(output, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "mapjax.cli", "train", "--resume", "--output", str(output)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
            "JAX_NUM_CPU_DEVICES": str(len(jax.devices())),
        },
        stdout=subprocess.DEVNULL,
    )
