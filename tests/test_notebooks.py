"""The lessons: each is a script and a notebook of the same cells, run to its end."""

import json
import re

import pytest

LESSONS = "notebooks/*.py"
COLAB = "https://colab.research.google.com/github/mapjax/mapjax/blob/main/"


def lessons(root):
    return sorted(root.glob(LESSONS))


def cells_of_script(text):
    """`(kind, source)` of each cell of a percent script."""
    parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)[1:]
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        markdown = head.strip() == "[markdown]"
        if markdown:
            body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.split("\n"))
        yield "markdown" if markdown else "code", body.strip()


def cells_of_notebook(notebook):
    return [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook["cells"]]


@pytest.fixture
def pairs(root):
    found = [
        (path, path.read_text("utf-8"), json.loads(path.with_suffix(".ipynb").read_text("utf-8")))
        for path in lessons(root)
    ]
    assert found
    return found


def test_script_and_notebook_have_the_same_cells(pairs):
    for path, script, notebook in pairs:
        assert cells_of_notebook(notebook) == list(cells_of_script(script)), path.name


def test_notebooks_were_run_to_their_end(pairs):
    for path, _, notebook in pairs:
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        counts = [cell["execution_count"] for cell in code]
        assert counts == list(range(1, len(code) + 1)), path.name
        outputs = [output for cell in code for output in cell["outputs"]]
        assert not [output for output in outputs if output["output_type"] == "error"], path.name
        assert not [output for output in outputs if output.get("name") == "stderr"], path.name


def test_the_badge_opens_the_notebook_and_links_lead_somewhere(pairs):
    for path, script, _ in pairs:
        badge = re.search(r"\(" + re.escape(COLAB) + r"([^)]+)\)", script)
        assert badge, path.name
        assert badge[1] == f"notebooks/{path.stem}.ipynb"
        assert script.index(badge[0]) < script.index("# %%\n"), "the badge comes first"
        for link in re.findall(r"\]\(([^):]+)\)", script):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_one_cell_installs_what_is_newest(pairs):
    for path, _, notebook in pairs:
        cells = [source for kind, source in cells_of_notebook(notebook) if kind == "code"]
        (installing,) = (source for source in cells if "pip" in source)
        assert installing is cells[0], path.name
        (source,) = re.findall(r'"(mapjax\[.*)"', installing)
        assert re.fullmatch(r"mapjax\[[\w,]+\] @ git\+https://github.com/mapjax/mapjax", source)
