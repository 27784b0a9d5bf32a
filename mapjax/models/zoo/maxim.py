"""The published names and layouts of MAXIM's parameters, and ours."""

import re
from collections.abc import Iterable

import numpy as np

from mapjax.models.zoo.tfjs import Parameter

SCOPE = "backbone/"
"""Where a published path begins to name modules of MAXIM, after those that wrap it."""

_LEVELS = 3  # of the published networks

_CROSSING = (
    (r"ConvTranspose_0$", "upsample"),
    (r"Conv_0$", "x/enter"),
    (r"Conv_1$", "y/enter"),
    (r"LayerNorm_([xy])$", r"\1/norm"),
    (r"in_project_([xy])$", r"\1/expand"),
    (r"out_project_([xy])$", r"\1/project"),
    (r"SplitHeadMultiAxisGating_([xy])/LayerNorm_in$", r"\1/weights/norm"),
    (r"SplitHeadMultiAxisGating_([xy])/in_project$", r"\1/weights/expand"),
    (r"SplitHeadMultiAxisGating_([xy])/Dense_0$", r"\1/weights/grid"),
    (r"SplitHeadMultiAxisGating_([xy])/Dense_1$", r"\1/weights/block"),
    (r"SplitHeadMultiAxisGating_([xy])/out_project$", r"\1/weights/project"),
)
_BODY = (
    (r"channel_attention/Conv_0$", "gate/squeeze"),
    (r"channel_attention/Conv_1$", "gate/excite"),
    (r"(?:Conv_0|input_proj)$", "enter"),
    (r"SplitHeadMultiAxisGmlpLayer_(\d)/", r"mixers/\1/"),
    (r"channel_attention_block_1_?(\d)/", r"channels/\1/"),
    (r"GridGmlpLayer/", "grid/"),
    (r"BlockGmlpLayer/", "block/"),
    (r"(?:Grid|Block)GatingUnit/intermediate_layernorm$", "gate_norm"),
    (r"(?:Grid|Block)GatingUnit/Dense_0$", "mix"),
    (r"LayerNorm(?:_in)?$", "norm"),
    (r"in_project$", "expand"),
    (r"out_project$", "project"),
    (r"(?:conv1|channel_mixing/Dense_0)$", "first"),
    (r"(?:conv2|channel_mixing/Dense_1)$", "second"),
)
_HEAD = ((r"Conv_0$", "features"), (r"Conv_1$", "restore"), (r"Conv_2$", "attend"))

# Published module -> ours, and the rules for what is inside it. The first that matches holds.
_MODULES = (
    (r"stage_(\d)_input_conv_(\d)", r"stages/\1/entries/\2", ()),
    (r"stage_(\d)_input_fuse_sam_(\d)/", r"stages/\1/fusions/\2/", _CROSSING),
    (
        r"stage_(\d)_encoder_block_(\d)/cross_gating_block/",
        r"stages/\1/encoder/\2/fuse/",
        _CROSSING,
    ),
    (r"stage_(\d)_encoder_block_(\d)/Conv_1$", r"stages/\1/encoder/\2/down", ()),
    (r"stage_(\d)_encoder_block_(\d)/", r"stages/\1/encoder/\2/body/", _BODY),
    (r"stage_(\d)_global_block_(\d)/", r"stages/\1/bottleneck/\2/", _BODY),
    (r"stage_(\d)_cross_gating_block_(\d)/", r"stages/\1/crossings/\2/", _CROSSING),
    (r"stage_(\d)_decoder_block_(\d)/ConvTranspose_0$", r"stages/\1/decoder/\2/up", ()),
    (r"stage_(\d)_decoder_block_(\d)/UNetEncoderBlock_0/", r"stages/\1/decoder/\2/body/", _BODY),
    (r"stage_(\d)_supervised_attention_module_(\d)/", r"stages/\1/heads/\2/", _HEAD),
    (r"stage_(\d)_output_conv_(\d)", r"stages/\1/heads/\2", ()),
)


def to_ours(parameters: Iterable[Parameter]) -> dict[str, np.ndarray]:
    """The parameters of a published graph under the names and in the layouts of `Maxim`.

    **Raises:** `ValueError` that names the module for which there are no rules, or a parameter that
    comes twice. Whether all are there, and of what shape, is for whoever builds the network.
    """
    ours: dict[str, np.ndarray] = {}
    for parameter in parameters:
        path = _module(parameter.module.rpartition(SCOPE)[2])
        name, value = _name_and_layout(parameter)
        # The members of a sequence are its `layers`.
        key = re.sub(r"/(\d)(?=/)", r"/layers/\1", f"{path}/{name}").replace("/", ".")
        if key in ours:
            raise ValueError(f"{parameter.module}: the parameter {name} comes twice")
        ours[key] = value
    return ours


def _module(published: str) -> str:
    if found := re.fullmatch(r"UpSampleRatio_(\d+)/Conv_0", published):
        return _gather(int(found.group(1)))
    for pattern, ours, rules in _MODULES:
        if re.match(pattern, published):
            path = re.sub(pattern, ours, published, count=1)
            for inside, name in rules:
                path = re.sub(rf"(?<=/){inside}", name, path)
            return path
    raise ValueError(f"{published}: no module of MAXIM has this name")


def _gather(number: int) -> str:
    """The projections between levels are numbered in the order in which the network calls them."""
    stage, number = divmod(number, 2 * _LEVELS**2)
    skips, number = divmod(number, _LEVELS**2)
    call, part = divmod(number, _LEVELS)
    gather = "gather_skips" if skips else "gather_encoded"
    return f"stages/{stage}/{gather}/{_LEVELS - 1 - call}/project/{part}"


def _name_and_layout(parameter: Parameter) -> tuple[str, np.ndarray]:
    name, value = parameter.name, parameter.value
    if name != "kernel":
        return name, value.reshape(-1)
    if parameter.operation == "Conv2DBackpropInput":
        # (row, column, out, in): the four results of a pixel side by side.
        return "four/kernel", value.transpose(3, 0, 1, 2).reshape(value.shape[3], -1)
    # 1x1 convolutions are dense layers.
    return name, value.reshape(value.shape[2:]) if value.shape[:2] == (1, 1) else value
