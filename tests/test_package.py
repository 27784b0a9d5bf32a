"""What is built, installed and imported."""

import importlib
import importlib.metadata
import importlib.resources
import re
import subprocess
import sys
import zipfile

import pytest

import mapjax

HEAVY = ("flax", "grain", "jax", "matplotlib", "optax", "orbax", "PIL", "skimage", "tqdm", "tyro")


def python(code, cwd):
    """Runs code in an interpreter of its own and returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def build(source, target, kind):
    """Builds a wheel or an sdist without a network: the backend is installed for the tests."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = target.iterdir()
    return built


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    return contents(build(root, tmp_path_factory.mktemp("wheel"), "wheel"))


def test_wheel_holds_everything(wheel, root):
    for package, folder in (
        ("mapjax", root / "mapjax"),
        ("mapjax_kernels", root / "kernels" / "mapjax_kernels"),
    ):
        sources = {
            f"{package}/{path.relative_to(folder).as_posix()}"
            for pattern in ("*.py", "*.safetensors", "*.md", "py.typed")
            for path in folder.rglob(pattern)
        }
        assert sources <= wheel.keys()
    assert "mapjax/py.typed" in wheel
    assert any(re.fullmatch(r"mapjax/weights/[^/]+\.safetensors", name) for name in wheel)
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mapjax", "mapjax_kernels"}


def test_wheel_stays_small(wheel):
    weights = [len(data) for name, data in wheel.items() if name.endswith(".safetensors")]
    assert sum(weights) <= 8 * 2**20


def test_wheel_holds_no_pickle(wheel):
    assert not [name for name in wheel if name.endswith((".pkl", ".pickle", ".npz", ".pt", ".pth"))]


def test_every_weights_file_has_a_card(wheel):
    stems = {
        suffix: {
            name.rpartition(".")[0]
            for name in wheel
            if re.match(rf"mapjax/weights/.*{suffix}$", name)
        }
        for suffix in (r"\.safetensors", r"\.md")
    }
    assert stems[r"\.safetensors"] == stems[r"\.md"]


def test_sdist_builds_the_same_wheel(wheel, root, tmp_path):
    sdist = build(root, tmp_path / "sdist", "sdist")
    subprocess.run([sys.executable, "-m", "tarfile", "-e", str(sdist), str(tmp_path)], check=True)
    (unpacked,) = tmp_path.glob("mapjax-*")
    assert contents(build(unpacked, tmp_path / "wheel", "wheel")).keys() == wheel.keys()


def test_installed_package_is_complete():
    package = importlib.resources.files("mapjax")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("weights", "rainhaze-s.safetensors").is_file()
    assert importlib.resources.files("mapjax_kernels").joinpath("__init__.py").is_file()


def test_version_is_that_of_the_distribution():
    try:
        version = importlib.metadata.version("mapjax")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("mapjax is on the path but not installed")
    assert version == mapjax.__version__


def test_import_is_light(tmp_path):
    code = f"import sys, mapjax; print(*sorted(sys.modules.keys() & set({HEAVY!r})))"
    assert python(code, tmp_path) == ""


@pytest.mark.parametrize("name", mapjax.__all__)
def test_every_exported_name_is_there(name):
    assert getattr(mapjax, name) is not None
    assert name in dir(mapjax)


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'resotre'"):
        mapjax.resotre  # noqa: B018


@pytest.mark.parametrize(
    "imports",
    [
        "import mapjax",
        "import mapjax, mapjax.op, mapjax.restore",
        "import mapjax, mapjax.op.signature, mapjax.restore.tiles",
        "from mapjax.op import op; from mapjax.restore import restore; import mapjax",
        "import mapjax; mapjax.op, mapjax.restore; import mapjax.restore.tiles, mapjax.op.gradient",
    ],
)
def test_op_and_restore_are_packages_and_functions_in_any_order(imports, tmp_path):
    code = f"""{imports}
import sys
assert callable(mapjax.op) and callable(mapjax.restore)
assert mapjax.op is sys.modules["mapjax.op"] and mapjax.restore is sys.modules["mapjax.restore"]
assert callable(mapjax.op.op) and callable(mapjax.restore.measure)
try:
    mapjax.restore("rain.png")
except TypeError as error:
    print(error)
"""
    assert python(code, tmp_path).startswith("restore: image must be a NumPy or JAX array")
