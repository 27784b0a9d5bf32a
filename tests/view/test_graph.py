"""A computation as a graph: every step once, operations whole, legible."""

import itertools
import json
import re
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import pytest

import mapjax as mj
from mapjax.op.cost import flops
from mapjax.ops import dense, derain_dehaze, dilated_offsets
from mapjax.view._layout import layered

OFFSETS = dilated_offsets(dilations=(1,))
KERNEL, BIAS = jnp.ones((3, 3, 3, 8)) / 27, jnp.zeros(8)
HEAD, HEAD_BIAS = jnp.ones((8, len(OFFSETS) + 2)), jnp.zeros(len(OFFSETS) + 2)


def model(image):
    x = jax.lax.conv_general_dilated(
        image, KERNEL, (4, 4), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    planes = jnp.moveaxis(dense(jnp.tanh(x + BIAS[None, None, None]), HEAD, HEAD_BIAS), -1, -3)
    airlight = jnp.ones((image.shape[0], 3))
    logits, slope, transmission = planes[:, :-2], planes[:, -2], planes[:, -1]
    return derain_dehaze(image, logits, slope, transmission, airlight, offsets=OFFSETS, stride=4)


IMAGE = jnp.ones((1, 32, 24, 3))


@pytest.fixture(scope="module")
def graph():
    return mj.graph(model, IMAGE, platform="cpu")


def test_steps(graph):
    titles = [step.title for step in graph.steps]
    assert titles[0] == "image"
    assert titles[1].startswith("convolution, add, tanh")
    assert titles[2] == "dense"
    assert titles[-2:] == ["derain_dehaze", "result"]
    assert [step.kind for step in graph.steps].count("operation") == 2
    assert graph.steps[-2].details == ("kernel xla",)
    assert graph.steps[-2].gives == ("f32[1,32,24,3]",)
    assert graph.steps[1].parameters[0] == "f32[3,3,3,8]"
    assert graph.steps[-2].after[0] == 0  # the picture itself goes into the last operation, too


def test_order_and_edges(graph):
    for i, step in enumerate(graph.steps):
        assert all(before < i for before in step.after)
    without = [s.title for s in graph.steps if not s.after and s.kind != "input"]
    assert without == []


def test_costs(graph):
    counted = flops(jax.make_jaxpr(model)(IMAGE).jaxpr, "cpu")
    assert graph.flops == pytest.approx(counted, rel=1e-3)  # constants are computed in no step
    convolution = graph.steps[1]
    assert convolution.flops >= 2 * 8 * 6 * 8 * 27
    assert convolution.bytes == 4 * (32 * 24 * 3 + 3 * 3 * 3 * 8 + 8 + 8 * 6 * 8)
    assert graph.parameter_bytes == 4 * sum(a.size for a in (KERNEL, BIAS, HEAD, HEAD_BIAS))


def test_text_and_files(graph, tmp_path):
    # Wide cells are folded: the kernel's name is in the next line.
    assert re.search(r"derain_dehaze, kernel .*\n +xla\b", str(graph))
    assert str(graph).startswith("model: ")
    for suffix in ("svg", "json", "txt"):
        graph.save(tmp_path / f"model.{suffix}")
    assert len(json.loads((tmp_path / "model.json").read_text())["steps"]) == len(graph.steps)
    with pytest.raises(ValueError, match="ends in none of .svg, .json, .txt"):
        graph.save(tmp_path / "model.png")


def test_drawing(graph):
    root = ElementTree.fromstring(graph.to_svg())
    svg = "{http://www.w3.org/2000/svg}"
    boxes = [e for e in root.iter(f"{svg}rect") if "box" in e.get("class", "")]
    assert len(boxes) == len(graph.steps)
    assert len(list(root.iter(f"{svg}path"))) == sum(len(step.after) for step in graph.steps)
    texts = [e.text for e in root.iter(f"{svg}text")]
    assert "derain_dehaze" in texts
    assert "prefers-color-scheme: dark" in root.find(f"{svg}style").text
    # Every line of text lies inside the page, and in its box.
    width = float(root.get("width"))
    assert all(0 <= float(box.get("x")) <= width - float(box.get("width")) for box in boxes)
    assert graph._repr_svg_() in graph._repr_html_()


def test_the_gradient_of_an_operation_is_a_step_of_its_own():
    loss = jax.grad(lambda image: jnp.sum(model(image) ** 2))
    titles = [step.title for step in mj.graph(loss, IMAGE).steps]
    assert {"derain_dehaze, gradient", "dense, gradient"} <= set(titles)
    assert titles.index("derain_dehaze") < titles.index("derain_dehaze, gradient")


def test_loops_are_one_step_with_their_content():
    def looped(x):
        return jax.lax.scan(lambda c, _: (dense(c, jnp.eye(4), jnp.ones(4)), None), x, length=5)[0]

    (step,) = (s for s in mj.graph(looped, jnp.ones((2, 4))).steps if s.kind == "loop")
    assert step.title == "scan x 5"
    assert step.details == ("dense x 5",)
    assert step.flops == 5 * flops(
        jax.make_jaxpr(lambda x: dense(x, jnp.eye(4), jnp.ones(4)))(jnp.ones((2, 4))).jaxpr
    )


def test_trees_of_arguments_are_parameters():
    def layer(parameters, x):
        return jnp.tanh(x @ parameters["w"] + parameters["b"][None])

    parameters = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
    graph = mj.graph(layer, parameters, jnp.ones((4, 3)))
    assert [step.title for step in graph.steps] == ["x", "matmul, add, tanh", "result"]
    assert graph.parameter_bytes == 32


def test_two_branches_meet_in_a_step_of_their_own():
    def residual(x):
        y = jnp.sin(x)
        return y + dense(y, jnp.eye(3), jnp.ones(3))

    titles = [step.title for step in mj.graph(residual, jnp.ones((2, 3))).steps]
    assert titles == ["x", "sin", "dense", "add", "result"]


def test_what_nothing_needs_is_no_step():
    def f(x):
        jnp.sin(x) @ jnp.eye(3)
        return x * 2

    assert [step.title for step in mj.graph(f, jnp.ones(3)).steps] == ["x", "mul", "result"]


def test_boxes_do_not_overlap_and_no_edge_meets_one():
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 4), (3, 4), (2, 5), (4, 5), (0, 5), (6, 5)]
    sizes = [(80, 30), (60, 20), (90, 50), (40, 30), (70, 40), (50, 30), (200, 30)]
    layout = layered(sizes, edges, gap=(10, 20))
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(layout.centres, sizes, strict=True)
    ]
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert min(box[0] for box in boxes) >= 0 and max(box[2] for box in boxes) <= layout.width
    for (start, end), passage in layout.edges.items():
        assert boxes[start][3] < boxes[end][1]  # downwards
        for x, top, bottom in passage[1:-1]:
            for left, upper, right, lower in boxes:
                assert x <= left or x >= right or bottom <= upper or top >= lower
