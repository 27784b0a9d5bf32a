"""From the archive of a registry to weights in the user's cache folder."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from mapjax._files import replacing
from mapjax.models.files import cached_weights, save, with_parameters
from mapjax.models.maxim import Maxim
from mapjax.models.zoo.card import card
from mapjax.models.zoo.maxim import to_ours
from mapjax.models.zoo.published import PUBLISHED, Published
from mapjax.models.zoo.tfjs import read_parameters
from mapjax.op.cost import human


class ArchiveError(ValueError):
    """An archive that could not be had, or is not the one that was asked for."""


def install(
    name: str, *, archive: Path | None = None, tell: Callable[[str], None] = lambda step: None
) -> Path:
    """Converts published weights, once, into a file that `mapjax.models.load(name)` finds.

    The archive is fetched from the npm registry by `npm pack`, unless it is given. Its digest must
    be the one that is known, and the parameters in it those of the network, each once. The file
    appears when it is whole, and a card beside it; the archive that was fetched is not kept.

    Args:
      name: one of `PUBLISHED`.
      archive: the package as it was downloaded, a `.tgz`.
      tell: is called with a line before each step that takes its time: what is fetched, of what
        size, and where the weights go.

    Returns:
      The file of the weights.

    Raises:
      ArchiveError: no such name; npm is not there or fails; another digest; parameters that are not
        those of the network; a cache that cannot be written to.
      OSError: an archive that cannot be read.
    """
    if name not in PUBLISHED:
        raise ArchiveError(f"no published weights {name}: there are {', '.join(PUBLISHED)}")
    published, target = PUBLISHED[name], cached_weights(name)
    with tempfile.TemporaryDirectory(prefix="mapjax-") as folder:
        if archive is None:
            archive = _fetch(published, Path(folder), tell)
        _check_digest(archive, published)
        tell(f"converting {archive.name} to {target}")
        try:
            parameters = to_ours(read_parameters(archive))
            model = with_parameters(Maxim, published.config, parameters, source=str(archive))
        except (ValueError, KeyError, tarfile.TarError) as error:
            raise ArchiveError(f"{archive}: cannot be converted: {error}") from error
    try:
        _store(model, name, published, target)
    except OSError as error:
        raise ArchiveError(
            f"{target}: cannot be written: {error.strerror}; make room or allow it, or name "
            "another folder for caches (XDG_CACHE_HOME on Linux)"
        ) from error
    return target


def _store(model: Maxim, name: str, published: Published, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for part in target.parent.glob(f".{target.name}.*.part"):  # of a process that was killed
        part.unlink(missing_ok=True)
    origin = f"{published.package}@{published.version}"
    save(model, target, metadata={"origin": origin, "licence": published.licence})
    with replacing(target.with_suffix(".md")) as file:
        file.write(card(name, published, target).encode())


def _fetch(published: Published, folder: Path, tell: Callable[[str], None]) -> Path:
    package = f"{published.package}@{published.version}"
    npm = shutil.which("npm")
    if npm is None:
        raise ArchiveError(
            f"npm, which fetches {package}, is not on the path: install Node.js, or download "
            f"{published.archive} from the npm registry on any machine and give it with --archive"
        )
    tell(f"fetching {package}, {human(published.size, 'B')}, from the npm registry")
    command = [npm, "pack", package, "--loglevel=error", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (folder / published.archive).is_file():
        raise ArchiveError(
            f"npm pack {package} failed: {_why(done)}; try again, or download "
            f"{published.archive} by other means and give it with --archive"
        )
    return folder / published.archive


def _why(npm: subprocess.CompletedProcess[str]) -> str:
    """What npm says first; its advice, stack and logs follow."""
    lines = [line.removeprefix("npm error").strip() for line in npm.stderr.splitlines()]
    return "; ".join([line for line in lines if line][:4]) or f"exit status {npm.returncode}"


def _check_digest(archive: Path, published: Published) -> None:
    if not archive.is_file():
        raise ArchiveError(f"{archive}: no such file; expected {published.archive}")
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != published.sha256:
        raise ArchiveError(
            f"{archive}: not {published.package}@{published.version}: its SHA-256 is {digest}, "
            f"expected {published.sha256}; download it again"
        )
