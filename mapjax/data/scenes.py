"""Depth of real scenes: as a camera measured it, or from pictures with and without haze."""

import glob
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num, UInt8

from ._fill import fill
from .files import decode, is_picture
from .measured import is_measured, measured_files


class DepthScene(NamedTuple):
    """A clean picture and its relative depth, which has mean 1."""

    name: str
    clean: UInt8[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]


def depth_from_pair(
    clean: Num[np.ndarray, "height width 3"],
    hazy: Num[np.ndarray, "height width 3"],
    *,
    airlight: float | tuple[float, float, float] = 1.0,
    contrast: float = 0.1,
) -> Float[np.ndarray, "height width"]:
    """Optical depth of the haze between two pictures of one scene.

    `depth = -log(t)` with the transmission `t` that solves `hazy = clean t + airlight (1 - t)` in
    the least squares over the channels. It is exact where the model holds and the clean picture
    stands out from the airlight; elsewhere it is filled in from the neighbourhood.

    Args:
        clean, hazy: RGB, uint8 or float in [0, 1].
        airlight: of the haze, in [0, 1], one number or one a channel.
        contrast: distance between a clean colour and the airlight below which a pixel is filled in.

    Returns:
        Depth times the density of the haze, float32, at most that of a transmission of 1/255.

    Raises:
        ValueError: the pictures differ in shape, are not RGB, or nowhere stand out.

    Example:
        >>> clean = np.linspace(0, 0.8, 4 * 5 * 3).reshape(4, 5, 3)
        >>> depth = depth_from_pair(clean, clean * 0.25 + 0.75)
        >>> bool(np.allclose(depth, np.log(4)))
        True
    """
    if clean.shape != hazy.shape or clean.ndim != 3 or clean.shape[-1] != 3:
        raise ValueError(
            "depth_from_pair: clean and hazy must be two pictures of one shape "
            f"(height, width, 3), got {clean.shape} and {hazy.shape}"
        )
    to_air = np.asarray(airlight, np.float64) - _to_float(clean)
    seen = np.asarray(airlight, np.float64) - _to_float(hazy)
    energy = np.sum(to_air**2, axis=-1)
    known = energy >= contrast**2
    if not known.any():
        raise ValueError(
            "depth_from_pair: the clean picture has the colour of the airlight everywhere, "
            "so it tells nothing about depth"
        )
    transmission = np.sum(to_air * seen, axis=-1) / np.where(known, energy, 1.0)
    depth = -np.log(np.clip(transmission, 1 / 255, 1.0))
    return fill(depth, known).astype(np.float32)


def load_depth_scenes(
    folder: str | Path, scenes: Collection[str | int] | None = None, *, airlight: float = 1.0
) -> list[DepthScene]:
    """Load clean pictures, `gt/SCENE.png`, and their depth.

    Where the folder has a `depth/`, `depth/SCENE.png` is what a depth camera measured: grey, of 8
    or 16 bits, in any unit, 0 where it saw nothing, which is filled in from the neighbourhood. In
    all other folders depth is computed from the haze of `hazy/SCENE_K.png`; where a scene has
    several, their depths are brought to mean 1 and averaged.

    Args:
        folder: folder of gt/ and depth/, or of gt/ and hazy/ as in RESIDE's SOTS-indoor.
        scenes: names of the scenes to load, `1400` or `"1400"`; by default all of them.
        airlight: of the hazy pictures.

    Returns:
        The scenes in the order of their names.

    Raises:
        OSError: the folder, a scene asked for, its depth or its hazy pictures are missing, or a
            file cannot be read as a picture.
        ValueError: a depth map or a hazy picture does not fit the clean one, or a map is empty.

    Sources: N. Silberman et al., "Indoor segmentation and support inference from RGBD images", ECCV
    2012 (NYU Depth v2); B. Li et al., "Benchmarking single-image dehazing and beyond", 2019
    (RESIDE).
    """
    folder = Path(folder)
    names = find_scenes(folder, scenes)
    if is_measured(folder):
        clean, depth = (files.decoded() for files in measured_files(folder, names))
        return [
            DepthScene(name, np.asarray(picture), np.asarray(distance))
            for name, picture, distance in zip(names, clean, depth, strict=True)
        ]
    return [_load_scene(folder, name, airlight) for name in names]


def find_scenes(folder: Path, scenes: Collection[str | int] | None = None) -> list[str]:
    """The names of the scenes of a folder, or of those that are asked for.

    Raises:
        FileNotFoundError: there are no scenes, or one that is asked for is missing.
    """
    names = sorted(file.stem for file in folder.glob("gt/*.png") if is_picture(file))
    if not names:
        raise FileNotFoundError(f"load_depth_scenes: no picture gt/SCENE.png in {str(folder)!r}")
    if scenes is None:
        return names
    wanted = {str(scene) for scene in scenes}
    if missing := sorted(wanted - set(names)):
        raise FileNotFoundError(
            f"load_depth_scenes: no picture gt/{missing[0]}.png in {str(folder)!r}"
        )
    return sorted(wanted)


def _load_scene(folder: Path, name: str, airlight: float) -> DepthScene:
    clean = np.asarray(decode(folder / "gt" / f"{name}.png"))
    found = folder.glob(f"hazy/{glob.escape(name)}_*.png")
    files = sorted(file for file in found if file.stem.rpartition("_")[0] == name)
    if not files:
        raise FileNotFoundError(
            f"load_depth_scenes: no picture hazy/{name}_*.png in {str(folder)!r}"
        )
    depth = np.zeros(clean.shape[:2], np.float32)
    for file in files:
        hazy = np.asarray(decode(file))
        try:
            one = depth_from_pair(clean, hazy, airlight=airlight)
        except ValueError as error:
            raise ValueError(f"load_depth_scenes: {str(file)!r}: {error}") from error
        depth += one / max(float(one.mean()), 1e-6)
    return DepthScene(name, clean, depth / len(files))


def _to_float(picture: Num[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    scale = 255 if picture.dtype == np.uint8 else 1
    return picture.astype(np.float64) / scale
