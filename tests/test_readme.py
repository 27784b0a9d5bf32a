"""What the READMEs show works as it stands."""

import re
import subprocess
import sys

import pytest

from mapjax.cli import COMMANDS

READMES = ("README.md", "kernels/README.md")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(params=READMES)
def readme(request, root):
    return root / request.param


def test_links_lead_somewhere(readme):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", readme.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (readme.parent / link).exists()] == []


def run(code, folder):
    """Runs code as a reader would: in an interpreter of its own, without the tests' settings."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_examples_run(root, tmp_path):
    examples = blocks((root / "README.md").read_text(encoding="utf-8"), "python")
    assert len(examples) >= 2
    for example in examples:
        run(example, tmp_path)


def test_the_operation_learns_and_refuses_as_it_says(root, tmp_path):
    text = (root / "README.md").read_text(encoding="utf-8")
    (example,) = (block for block in blocks(text, "python") if "@mj.op" in block)
    (message,) = blocks(text, "text")
    assert len(example.splitlines()) < 60
    refused = "try:\n    expose(light, gain[:2])\nexcept ValueError as error:\n    print(error)"
    printed = run(f"{example}\nprint(losses[0], losses[-1])\n{refused}", tmp_path)
    before, told, after = printed.partition(message)
    assert told and not after
    first, last = map(float, before.split()[-2:])
    assert last < first / 100


def test_commands_exist(root):
    shell = "".join(blocks((root / "README.md").read_text(encoding="utf-8"), "sh"))
    commands = re.findall(r"^mapjax ([\w-]+)", shell, re.MULTILINE)
    assert set(commands) <= set(COMMANDS)
    targets = re.findall(r"^make (\w+)", shell, re.MULTILINE)
    rules = re.findall(r"^(\w+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    assert set(targets) <= set(rules)
