"""From an archive to weights in the cache, and what may go wrong on the way."""

import dataclasses
import errno
import hashlib
import subprocess
import sys

import chex
import numpy as np
import pytest
from flax import nnx

from mapjax.models import Maxim, MaximConfig, files, load
from mapjax.models.zoo import PUBLISHED, ArchiveError, install

MODULE = sys.modules[install.__module__]  # whose name in the package is that of the function
TINY = MaximConfig(features=4, stages=1, windows=(2,), groups=1, bottlenecks=1, reduction=2)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The cache in a folder of its own, and an archive with the digest that `tiny` must have."""
    monkeypatch.setattr(files, "user_cache", lambda: tmp_path / "cache")
    archive = tmp_path / "tiny.tgz"
    archive.write_bytes(b"an archive")
    digest = hashlib.sha256(b"an archive").hexdigest()
    known = dataclasses.replace(PUBLISHED["maxim-derain"], sha256=digest, config=TINY)
    monkeypatch.setitem(PUBLISHED, "tiny", known)
    return archive


@pytest.fixture(scope="module")
def model(drawn):
    return drawn(Maxim, TINY)


@pytest.fixture
def parameters(model, monkeypatch):
    """What is read from the archive: those of the model, a mapping that tests may change."""
    found = {".".join(map(str, k)): np.asarray(v) for k, v in files._parameters(model).items()}
    monkeypatch.setattr(MODULE, "read_parameters", lambda archive: found)
    monkeypatch.setattr(MODULE, "to_ours", lambda found: found)
    return found


def _cached(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_weights_are_converted_once_and_found_by_their_name(published, model, parameters, tmp_path):
    path = install("tiny", archive=published)
    assert _cached(tmp_path) == ["tiny.md", path.name] == ["tiny.md", "tiny.safetensors"]
    card = path.with_suffix(".md").read_text()
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (published, path)]
    said = ["# tiny\n", "@upscalerjs/maxim-deraining@0.1.0", "Rain13k", "38.06", "MIT", *digests]
    assert [words for words in said if words not in card] == []
    assert load("tiny").config == TINY
    chex.assert_trees_all_equal(nnx.state(load("tiny")), nnx.state(model))


def test_another_archive_is_refused(published, parameters, tmp_path):
    published.write_bytes(b"another archive")
    with pytest.raises(ArchiveError, match="its SHA-256 is .*, expected .*; download it again"):
        install("tiny", archive=published)
    with pytest.raises(ArchiveError, match="no such file; expected upscalerjs-maxim-deraining"):
        install("tiny", archive=tmp_path / "absent.tgz")
    assert _cached(tmp_path) == []


def test_a_parameter_that_is_missing_is_named(published, parameters, tmp_path):
    parameters.pop("stages.layers.0.encoder.layers.0.down.kernel")
    with pytest.raises(ArchiveError, match=r"cannot be converted.*missing.*down\.kernel"):
        install("tiny", archive=published)
    assert _cached(tmp_path) == []


def test_a_cache_without_room_is_named(published, parameters, tmp_path, monkeypatch):
    def save(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MODULE, "save", save)
    with pytest.raises(ArchiveError, match=r"tiny\.safetensors: .*: No space left on device; make"):
        install("tiny", archive=published)
    assert _cached(tmp_path) == []


def test_what_a_killed_process_left_is_removed(published, parameters, tmp_path):
    weights = files.cached_weights("tiny")
    weights.parent.mkdir(parents=True)
    weights.with_name(f".{weights.name}.1a2b.part").write_bytes(b"half")
    install("tiny", archive=published)
    assert _cached(tmp_path) == ["tiny.md", "tiny.safetensors"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ArchiveError, match="no published weights maxim: there are maxim-derain"):
        install("maxim")


def test_npm_fetches_what_is_not_given(published, parameters, tmp_path, monkeypatch):
    def run(command, **options):
        assert command[1:3] == ["pack", "@upscalerjs/maxim-deraining@0.1.0"]
        folder = command[command.index("--pack-destination") + 1]
        published.rename(f"{folder}/upscalerjs-maxim-deraining-0.1.0.tgz")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(MODULE.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(MODULE.subprocess, "run", run)
    said = []
    path = install("tiny", tell=said.append)
    assert path.is_file()
    assert said == [
        "fetching @upscalerjs/maxim-deraining@0.1.0, 53.4 MB, from the npm registry",
        f"converting upscalerjs-maxim-deraining-0.1.0.tgz to {path}",
    ]


def test_npm_that_fails_or_is_not_there_says_what_to_do(published, monkeypatch):
    monkeypatch.setattr(MODULE.shutil, "which", lambda name: None)
    with pytest.raises(ArchiveError, match="npm, which fetches .* --archive"):
        install("tiny")
    monkeypatch.setattr(MODULE.shutil, "which", lambda name: f"/bin/{name}")
    said = "npm error code E404\nnpm error 404 Not Found\nnpm error 404\nnpm error a\nnpm error b\n"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(MODULE.subprocess, "run", lambda command, **options: failed)
    with pytest.raises(ArchiveError, match="failed: code E404; 404 Not Found; 404; a; try again"):
        install("tiny")
    failed.stderr = ""
    with pytest.raises(ArchiveError, match="failed: exit status 1; .*-deraining.* --archive"):
        install("tiny")
