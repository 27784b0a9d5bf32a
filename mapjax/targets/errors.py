"""What compilers say about a kernel, and what it means to whoever wrote it."""

import re
from collections.abc import Mapping


class MissingCompilerError(ImportError):
    """The compiler of a target is not installed."""


class CompileError(RuntimeError):
    """A program that the compiler of a target refuses.

    Attributes:
      target: name of the target.
      kernel: name of the kernel that is refused; None where the compiler names none.
      where: `file:line` of the Python code, where the compiler knows it.
      meaning: what it means, and what helps; None for a message that is not known.
      message: what the compiler said.

    `kernels` are the Pallas kernels of the program, with the places of their functions.
    """

    def __init__(
        self, target: str, message: str, *, kernels: Mapping[str, str] | None = None
    ) -> None:
        self.target, self.message = target, message.strip()
        kernels = kernels or {}
        self.kernel = _kernel(message, kernels)
        self.where = _where(message) or kernels.get(self.kernel or "") or None
        self.meaning = meaning_of(message)
        head = f"{target}: the compiler refuses " + (
            f"the kernel {self.kernel!r}" if self.kernel else "the program"
        )
        head += f" ({self.where})" if self.where else ""
        lines = [head, *([f"  {self.meaning}"] if self.meaning else []), _shortened(self.message)]
        super().__init__("\n".join(lines))


# The first pattern that fits, in this order: from the particular to the general.
_MEANINGS = [
    (
        r"(?i)scoped ?vmem|E1001|ran out of memory in memory space vmem|vmem.*exceed",
        "VMEM exceeded: the blocks (twice each, as they are loaded ahead), scratch and spilled "
        "registers are larger than the kernel may use; take smaller blocks, or raise "
        "pltpu.CompilerParams(vmem_limit_bytes=...)",
    ),
    (
        r"(?i)ran out of memory in memory space smem",
        "SMEM exceeded: scalars and prefetched operands do not fit; pass large tables in VMEM",
    ),
    (
        r"(?i)ran out of memory in memory space hbm|E1000|RESOURCE_EXHAUSTED.*hbm",
        "device memory exceeded: arguments, outputs and temporaries are larger than the device; "
        "rematerialise, or take smaller shapes",
    ),
    (
        r"(?i)shared memory size limit exceeded|too much shared data|shared memory.*(exceed|limit)",
        "shared memory exceeded: the tiles of all stages together are larger than a block may "
        "have; take smaller blocks, or fewer num_stages",
    ),
    (
        r"(?i)E2003|UnprovenMemoryAccessAlignment|prove that.*(multiple|divis|align)|"
        r"couldn't prove|offsets? along tiled dimensions? must be aligned|unaligned|misaligned",
        "unaligned access: the start of a dynamic slice along the last two dimensions has to be a "
        "multiple of the tile (8 rows, 16 of bfloat16, and 128 lanes) that the compiler can see: "
        "use pl.multiple_of, aligned windows, or static slices with pltpu.roll",
    ),
    (
        r"(?i)last two dimensions of your block shape|block shape.*(divisible|multiple|must|equal)|"
        r"divisible by 8 and 128",
        "block shape: the last two dimensions of a block have to be multiples of 8 and 128, or "
        "the whole dimensions of the array",
    ),
    (
        r"(?i)block_shape.*rank|block dimensions|index_map.*(return|rank)",
        "block shape: it and what the index map returns need one entry for each dimension",
    ),
    (
        r"(?i)power of (2|two)",
        "block shape: arrays in a Triton kernel have sizes that are powers of two; pad the block, "
        "and mask loads and stores",
    ),
    (
        r"(?i)unimplemented primitive in pallas|primitive.*not (implemented|supported)|"
        r"not implemented.*primitive|lowering rule for.*not",
        "unsupported primitive: the kernel uses an operation that this compiler has no rule for; "
        "write it by others (slices and concatenation, masks, arithmetic), or compute it outside",
    ),
    (
        r"(?i)unsupported (shape|input data layout) cast|layout.*(not supported|mismatch|"
        r"unsupported)|not implemented: .*(reshape|transpose|shape cast|relayout|broadcast)",
        "layout: this change of shape would move data between lanes and sublanes in a way that "
        "Mosaic cannot; keep the last dimension, or reshape outside of the kernel",
    ),
    (
        r"(?i)only interpret mode is supported",
        "a kernel of another platform: choose one by lax.platform_dependent, so that each "
        "platform lowers its own",
    ),
    (
        r"(?i)not implemented",
        "Mosaic has no implementation for this operation with these shapes and types yet",
    ),
    (
        r"(?i)bf16.*(not supported|unsupported|requires)|requires? \.target sm_\d+|"
        r"feature.*sm_\d+|compute capability",
        "the device is too old for this kernel: Triton, and bfloat16, need compute capability 8.0 "
        "(Ampere); take plain JAX there",
    ),
    (r"(?i)cannot be automatically partitioned", "wrap the kernel in jax.shard_map over the mesh"),
    (r"(?i)ptxas", "the assembler of CUDA (ptxas) refuses the code that was generated"),
]


def meaning_of(message: str) -> str | None:
    """What a compiler's message means; None where it is not known."""
    return next((text for pattern, text in _MEANINGS if re.search(pattern, message, re.S)), None)


def _kernel(message: str, kernels: Mapping[str, str]) -> str | None:
    named = [name for name in kernels if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message)]
    if not named and len(kernels) == 1 and re.search(r"(?i)mosaic|pallas|triton|vmem", message):
        return next(iter(kernels))
    return max(named, key=len, default=None)


def _where(message: str) -> str | None:
    # Mosaic: `at location: loc("..."("/path/kernel.py":11:13 ...`; Pallas: `kernel.py:11`.
    for pattern in (r"\"([^\"\n]+\.py)\":(\d+)", r"(?<![\w./\-])(/?[\w./\-]+\.py):(\d+)"):
        for found in re.finditer(pattern, message):
            if "/site-packages/" not in found[1]:
                return f"{found[1]}:{found[2]}"
    return None


def _shortened(message: str, lines: int = 12, width: int = 400) -> str:
    """The message without the compiler's own stack and programs, which fill screens."""
    kept = [line[:width] for line in message.splitlines() if line.strip()]
    more = f"\n  ... {len(kept) - lines} more lines in `.message`" if len(kept) > lines else ""
    return "\n".join("  " + line for line in kept[:lines]) + more
