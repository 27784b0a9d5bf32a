import jax
import jax.numpy as jnp
import pytest

from mapjax.cli import main


def test_files_that_need_no_mapjax(weights, tmp_path, capsys):
    weights.with_suffix(".md").write_text("A card.")
    output = tmp_path / "exported"
    command = ["export", "--model", str(weights), "--output", str(output), "--size", "9", "14"]
    assert main(command) == 0
    names = ["tiny-cpu-9x14.jax", "tiny.md", "tiny.safetensors"]
    assert sorted(path.name for path in output.iterdir()) == names
    said = capsys.readouterr().out
    assert all(f"{output / name}  " in said for name in names)
    assert f"{output / 'tiny.md'}  7 B\n" in said
    assert (output / "tiny.safetensors").read_bytes() == weights.read_bytes()
    program = jax.export.deserialize((output / "tiny-cpu-9x14.jax").read_bytes())
    assert program.platforms == ("cpu",)
    picture = jax.core.ShapedArray((9, 14, 3), jnp.uint8)
    assert [*program.in_avals, *program.out_avals] == [picture, picture]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "0", "4"], "height=0 and width=4 must be at least 1"),
        (["--size", "4", "4", "--model", "absent"], "absent"),
        (["--size", "4", "4", "--model", "maxim-derain"], "mapjax weights get maxim-derain"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["export", "--output", str(tmp_path / "exported"), *options]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "exported").exists()
