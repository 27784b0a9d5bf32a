"""How data sets of pairs lie in folders, and which clean picture an observed one belongs to."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .files import is_picture, list_pictures


@dataclass(frozen=True)
class Layout:
    """Two kinds of folders beside each other: pictures with weather, and clean ones.

    Args:
        name: what it is called here.
        observed, clean: the names of the folders, in small letters.
        least: how many of the observed folders there have to be.
        used_by: data sets that come like this.
    """

    name: str
    observed: tuple[str, ...]
    clean: tuple[str, ...]
    least: int = 1
    used_by: str = ""


LAYOUTS = (
    Layout(
        "cdd-11",
        observed=(
            *("haze_rain", "haze", "rain", "snow", "low", "haze_snow", "low_haze", "low_rain"),
            *("low_snow", "low_haze_rain", "low_haze_snow"),
        ),
        clean=("clear",),
        least=2,
        used_by="CDD-11",
    ),
    Layout(
        "input-target",
        observed=("input",),
        clean=("target", "gt"),
        used_by="Rain13K, Rain100L, Rain100H, Test100, Test1200, Test2800",
    ),
    Layout("outdoor-rain", observed=("in",), clean=("gt",), used_by="Outdoor-Rain"),
    Layout(
        "reside",
        observed=("hazy", "haze"),
        clean=("clear", "gt"),
        used_by="RESIDE (ITS, OTS, SOTS), Haze4K",
    ),
    Layout(
        "rain-norain",
        observed=("rain",),
        clean=("norain",),
        used_by="Rain200L, Rain200H, RainTrainL, RainTrainH",
    ),
    Layout("rain1400", observed=("rainy_image",), clean=("ground_truth",), used_by="Rain1400"),
)
"""The layouts of folders beside each other.

Source: OneRestore, `makedataset.py` (CDD-11); Restormer, `Deraining/README.md` (Rain13K and its
tests); HeavyRainRemoval, `data/synthetic` (Outdoor-Rain); DEA-Net, `dataset/README.md` (RESIDE);
PReNet, `DerainDataset.py` (Rain1400, and Rain100 with both kinds in one folder).
"""

ONE_FOLDER = "rain100"
"""The layout with both kinds in one folder: `rain-1.png` and `norain-1.png`."""

TWO_FOLDERS = "two folders"
"""Any two folders with matching names."""

_TESTING = frozenset({"test", "testing", "val", "valid", "validation"})

Named = list[tuple[str, Path]]  # files, each with its place in its folder without the suffix


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures that were found, and what is wrong with others.

    Attributes:
        layout: its name.
        folder: where it lies.
        pairs: `(observed, clean)` files.
        problems: files that have no partner, each with the reason.
        unused: clean pictures that no observed one belongs to.
    """

    layout: str
    folder: Path
    pairs: tuple[tuple[Path, Path], ...]
    problems: tuple[tuple[Path, str], ...] = ()
    unused: tuple[Path, ...] = ()

    @property
    def for_testing(self) -> bool:
        """Whether a folder on the way to it is called `test` or `val`."""
        return any(part.lower() in _TESTING for part in self.folder.parts)


def find_pairs(folder: str | os.PathLike[str]) -> list[Pairs]:
    """The pairs in a folder and its sub-folders, in every layout that is known.

    Args:
        folder: a data set, such as `Rain13K`, or a folder with several.

    Returns:
        What was found, by folder; nothing where no layout is known.

    Raises:
        FileNotFoundError: the folder is missing.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as name:
        ...     for file in ("in/im_0001_s80_a04.png", "gt/im_0001.png"):
        ...         (pathlib.Path(name) / file).parent.mkdir()
        ...         Image.new("RGB", (8, 8)).save(pathlib.Path(name) / file)
        ...     found = find_pairs(name)
        >>> found[0].layout, [(seen.name, clean.name) for seen, clean in found[0].pairs]
        ('outdoor-rain', [('im_0001_s80_a04.png', 'im_0001.png')])
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of pictures")
    return list(_walk(folder))


def match_folders(observed: str | os.PathLike[str], clean: str | os.PathLike[str]) -> Pairs:
    """The pairs of any two folders with matching names.

    Raises:
        FileNotFoundError: a folder is missing or holds no picture.
    """
    observed, clean = Path(observed), Path(clean)
    return _match(TWO_FOLDERS, observed, _named(observed), _named(clean))


def _walk(folder: Path) -> Iterator[Pairs]:
    for path, inner, files in os.walk(folder):
        here = Path(path)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found = _layout_of({name.lower(): here / name for name in inner})
        if found is not None:
            layout, observed, clean = found
            inner[:] = [name for name in inner if here / name not in {*observed, clean}]
            files_observed = list(itertools.chain.from_iterable(map(_named, observed)))
            yield _match(layout.name, here, files_observed, _named(clean))
        pictures = [here / name for name in sorted(files) if is_picture(here / name)]
        rain, norain = (
            [(file.stem, file) for file in pictures if file.stem.lower().startswith(start)]
            for start in ("rain-", "norain-")
        )
        if rain and norain:
            yield _match(ONE_FOLDER, here, rain, norain)


def _layout_of(folders: Mapping[str, Path]) -> tuple[Layout, list[Path], Path] | None:
    for layout in LAYOUTS:
        observed = [folders[name] for name in layout.observed if name in folders]
        clean = [folders[name] for name in layout.clean if name in folders]
        if clean and len(observed) >= layout.least:
            return layout, observed, clean[0]
    return None


def _named(folder: Path) -> Named:
    files = list_pictures(folder)
    return [(file.relative_to(folder).with_suffix("").as_posix(), file) for file in files]


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _number(name: str) -> str:
    return re.sub("^(no)?rain-", "", _base(name), flags=re.IGNORECASE)


def _shortened(name: str) -> list[str]:
    """`im_0001_s80_a04` -> `im_0001_s80`, `im_0001`, `im`."""
    parts = _base(name).split("_")
    return ["_".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


# Under which key a clean picture is found, and the keys to look for with an observed one.
_RULES: tuple[tuple[Callable[[str], str], Callable[[str], list[str]]], ...] = (
    (str, lambda name: [name]),  # scene/7 -> scene/7
    (_base, lambda name: [_base(name)]),  # part1/7 -> 7
    (_base, _shortened),  # 1400_1 -> 1400
    (_number, lambda name: [_number(name)]),  # rain-7 -> norain-7
    (_number, lambda name: [re.sub(r"x\d$", "", _number(name))]),  # norain-7x2 -> norain-7
)


def _match(layout: str, folder: Path, observed: Named, clean: Named) -> Pairs:
    # One rule for all, the first that finds any partner: another one might find, for a picture
    # whose partner is missing, that of its neighbour.
    for clean_key, observed_keys in _RULES:
        table = defaultdict(list)
        for name, file in clean:
            table[clean_key(name)].append(file)
        partners = {
            file: next((table[key] for key in observed_keys(name) if key in table), [])
            for name, file in observed
        }
        if any(partners.values()):
            break
    used = {file for files in partners.values() for file in files}
    return Pairs(
        layout=layout,
        folder=folder,
        pairs=tuple((file, files[0]) for file, files in partners.items() if len(files) == 1),
        problems=tuple(
            (file, _why_alone(files, clean)) for file, files in partners.items() if len(files) != 1
        ),
        unused=tuple(file for _, file in clean if file not in used),
    )


def _why_alone(partners: Sequence[Path], clean: Named) -> str:
    if partners:
        return f"has several clean pictures: {', '.join(map(str, partners))}"
    place = os.path.commonpath([file.parent for _, file in clean])
    return f"has no clean picture in {place}"
