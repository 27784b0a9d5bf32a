"""Parameters read from a graph of TensorFlow.js, in a package that is made here."""

import io
import json
import tarfile

import numpy as np
import pytest

from mapjax.models.zoo.maxim import to_ours
from mapjax.models.zoo.tfjs import read_parameters

BODY = "call/Wrapper/backbone/stage_0_encoder_block_1"
ARRAYS = {
    "a": np.arange(24, dtype=np.float32).reshape(1, 1, 4, 6),
    "b": np.arange(6, dtype=np.float32).reshape(1, 1, 1, 6),
    "c": np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2),
    "d": np.arange(16, dtype=np.float32).reshape(4, 4),
    "e": np.arange(6, dtype=np.float32),
    "epsilon": np.float32(1e-6).reshape(()),
}
NODES = [
    {"op": "Conv2D", "name": f"{BODY}/Conv_0/Conv2D", "input": ["x", "a"]},
    {"op": "AddV2", "name": f"{BODY}/Conv_0/jit_fn_/AddV2", "input": ["y", "b:0"]},
    {
        "op": "Conv2DBackpropInput",
        "name": "call/Wrapper/backbone/stage_1_decoder_block_2/ConvTranspose_0/conv2d_transpose",
        "input": ["sizes", "c", "z"],
    },
    {
        "op": "Einsum",
        "name": f"{BODY}/SplitHeadMultiAxisGmlpLayer_1/GridGmlpLayer/GridGatingUnit/Dense_0"
        "/einsum/Einsum",
        "input": ["x", "d"],
    },
    {
        "op": "Mul",
        "name": f"{BODY}/channel_attention_block_1_0/LayerNorm/jit_fn_/Mul_2",
        "input": ["e", "w"],
    },
    {"op": "AddV2", "name": f"{BODY}/LayerNorm/jit_fn_/AddV2_1", "input": ["v", "epsilon"]},
]


@pytest.fixture
def package(tmp_path):
    """`package(nodes, cut=0)`: an archive of the arrays and these nodes, without the last bytes."""

    def make(nodes, *, cut=0):
        data = b"".join(array.tobytes() for array in ARRAYS.values())
        weights = [
            {"name": name, "shape": array.shape, "dtype": "float32"}
            for name, array in ARRAYS.items()
        ]
        model = {
            "modelTopology": {"node": nodes},
            "weightsManifest": [{"paths": ["one.bin", "two.bin"], "weights": weights}],
        }
        files = {
            "model.json": json.dumps(model).encode(),
            "one.bin": data[:100],
            "two.bin": data[100 : len(data) - cut],
        }
        with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"package/models/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return tmp_path / "package.tgz"

    return make


def test_parameters_get_our_names_and_layouts(package):
    ours = to_ours(read_parameters(package(NODES)))
    body = "stages.layers.0.encoder.layers.1.body"
    expected = {
        f"{body}.enter.kernel": ARRAYS["a"][0, 0],
        f"{body}.enter.bias": ARRAYS["b"].ravel(),
        f"{body}.mixers.layers.1.grid.mix.kernel": ARRAYS["d"],
        f"{body}.channels.layers.0.norm.scale": ARRAYS["e"],
        "stages.layers.1.decoder.layers.2.up.four.kernel": None,
    }
    assert ours.keys() == expected.keys()
    four = ours.pop("stages.layers.1.decoder.layers.2.up.four.kernel")
    # Of every input: its results at the top left, top right, bottom left, bottom right.
    assert four.shape == (2, 12)
    np.testing.assert_array_equal(four[1, 3:6], ARRAYS["c"][0, 1, :, 1])
    for name, value in ours.items():
        np.testing.assert_array_equal(value, expected[name], strict=True)


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        (NODES[1:], "the array a is used 0 times"),
        ([*NODES, NODES[0]], "the array a is used 2 times"),
        ([{**NODES[0], "op": "MaxPool"}, *NODES[1:]], r"Conv2D \(MaxPool\), which is no layer"),
    ],
)
def test_each_array_is_the_parameter_of_one_layer(package, nodes, says):
    with pytest.raises(ValueError, match=says):
        read_parameters(package(nodes))


def test_shards_that_are_too_short_are_refused(package):
    with pytest.raises(ValueError, match="buffer"):
        read_parameters(package(NODES, cut=4))


def test_a_package_of_something_else_is_refused(tmp_path):
    with tarfile.open(tmp_path / "other.tgz", "w:gz"):
        pass
    with pytest.raises(ValueError, match="no file package/models/model.json"):
        read_parameters(tmp_path / "other.tgz")


def test_modules_that_maxim_does_not_have_are_named(package):
    strange = {**NODES[0], "name": "call/Wrapper/backbone/Attention_0/Conv_0/Conv2D"}
    with pytest.raises(ValueError, match="Attention_0/Conv_0: no module of MAXIM"):
        to_ours(read_parameters(package([strange, *NODES[1:]])))


def test_projections_between_levels_are_numbered_by_their_calls(package):
    name = "call/Wrapper/backbone/UpSampleRatio_{}/Conv_0/Conv2D"
    found = {}
    for number in (0, 8, 9, 18, 35):
        nodes = [{**NODES[0], "name": name.format(number)}, *NODES[1:]]
        found[number] = next(iter(to_ours(read_parameters(package(nodes)))))
    assert found == {
        0: "stages.layers.0.gather_encoded.layers.2.project.layers.0.kernel",
        8: "stages.layers.0.gather_encoded.layers.0.project.layers.2.kernel",
        9: "stages.layers.0.gather_skips.layers.2.project.layers.0.kernel",
        18: "stages.layers.1.gather_encoded.layers.2.project.layers.0.kernel",
        35: "stages.layers.1.gather_skips.layers.0.project.layers.2.kernel",
    }
