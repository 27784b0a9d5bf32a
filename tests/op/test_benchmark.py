"""Every implementation that runs here is timed; how fast the machine is, no test can say."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, Int

import mapjax as mj
from mapjax.op import benchmark


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, "_SAMPLE", 1e-5)
    monkeypatch.setattr(benchmark, "copy_bandwidth", lambda device: 1e9)


@mj.op
def pick(x: Float[Array, "n"], index: Int[Array, "m"], *, by: float = 2.0) -> Float[Array, "m"]:
    return by * x[index]


pick.kernel(name="taken")(lambda x, index, *, by: by * jnp.take(x, index))
pick.kernel("tpu", name="elsewhere")(lambda x, index, *, by: by * x[index])
pick.kernel(name="never", fits=lambda x, index, *, by: "never fits")(lambda x, index, *, by: x)


def test_rows_and_figures():
    table = pick.benchmark(jnp.arange(8.0), jnp.arange(4), seconds=0.0, by=3.0)
    assert [(row["pass"], row["kernel"]) for row in table] == [
        ("forward", "taken"),
        ("forward", "reference"),
        ("forward + gradient", "taken"),
        ("forward + gradient", "reference"),
    ]
    for row in table:
        assert row["ms"] > 0 and row["± ms"] >= 0
        moved = (32 + 16 + 16) + (row["pass"] != "forward") * (16 + 32)
        assert row["GB/s"] == pytest.approx(moved / row["ms"] / 1e6)
        assert row["of copying"] == f"{100 * row['GB/s']:.3g} %"
    reference = [row for row in table if row["kernel"] == "reference"]
    assert [row["speed-up"] for row in reference] == [1, 1]
    assert "by=3.0" in table.notes[0]
    assert pick.records["benchmark"] is table


def test_without_a_gradient_there_is_one_pass():
    @mj.op
    def count(x: Int[Array, "n"]) -> Int[Array, ""]:
        return jnp.sum(x)

    assert {row["pass"] for row in count.benchmark(jnp.arange(3), seconds=0.0)} == {"forward"}


def test_programs_are_timed_in_turns():
    programs = {name: benchmark.Timed.compile(jnp.negative, (jnp.ones(8),)) for name in "ab"}
    benchmark.time_in_turns(programs, 0.0)
    assert [len(program.seconds) for program in programs.values()] == [7, 7]
    assert min(program.median for program in programs.values()) > 0


def test_bandwidth(monkeypatch):
    monkeypatch.undo()
    assert benchmark.copy_bandwidth(jax.devices()[0], megabytes=1) > 1e6
