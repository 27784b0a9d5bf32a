"""libtpu: its environment, and what it dumps about each kernel."""

import os
import re
from pathlib import Path

from mapjax.targets.bundles import Schedule, read_schedule
from mapjax.targets.target import TpuTarget

# The three texts a kernel that are read, of some seventy that libtpu writes otherwise.
_TEXTS = (
    "final_bundles",
    "final_hlo-static-per-bundle-utilization",
    "pre-finalize-registers-and-allocations",
)


def environment(target: TpuTarget, folder: Path, inherited: dict[str, str]) -> dict[str, str]:
    flags = [
        inherited.get("LIBTPU_INIT_ARGS", ""),
        f"--xla_jf_dump_to={folder}",
        "--xla_jf_dump_llo_text=true",
        f"--xla_jf_dump_llo_pass_label_regex=^({'|'.join(_TEXTS)})$",
    ]
    return {
        "LIBTPU_INIT_ARGS": " ".join(filter(None, flags)),
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # there is no device that two processes could want
        "TPU_SKIP_MDS_QUERY": "1",  # no metadata server to ask what this machine is
        "TPU_ACCELERATOR_TYPE": target.accelerator,
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
    }


def without_schedules() -> None:
    """Have libtpu write no schedules from now on: of programs of hundreds of kernels they take as
    long as the compilation."""
    # No kernel has this name, and so nothing is written down of any.
    flags = os.environ.get("LIBTPU_INIT_ARGS", ""), "--xla_jf_dump_only_matching_hlo=none"
    os.environ["LIBTPU_INIT_ARGS"] = " ".join(filter(None, flags))


def read_schedules(folder: Path) -> dict[str, Schedule]:
    """The schedule of each instruction that was dumped, by its name in the program."""
    texts: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.txt")):
        # `<time>-<instruction>-<number>-<text>.txt`
        found = re.match(rf"\d+-(.+)-\d+-({'|'.join(_TEXTS)})\.txt$", path.name)
        if found:
            texts.setdefault(found[1], {})[found[2]] = path
    schedules = {}
    for name, paths in texts.items():
        if len(paths) == len(_TEXTS):
            bundles, utilization, program = (paths[text].read_text() for text in _TEXTS)
            schedules[name] = read_schedule(bundles, utilization, program)
    return schedules
