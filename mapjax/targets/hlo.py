"""The text of a compiled program (HLO): its kernels, what each does, and the bytes it moves."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMPUTATION = re.compile(r"^(ENTRY )?%?(\S+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?(\S+) = (.*)$")
_END = re.compile(r"^\}(, execution_thread=.*)?$")
_ARRAY = re.compile(r"([a-z]+[0-9a-z]*)\[([0-9,]*)\](?:\{([^}]*)\})?")
_TILE = re.compile(r"T\(([0-9,*]+)\)")
_SPACE = re.compile(r"S\((\d+)\)")
_CALLED = re.compile(r"(?:calls|body|to_apply|called_computations)=\{?%?([\w.\-]+)")
_BITS = re.compile(r"\d+")

# Names and views of values: nothing runs for these.
_FREE_NAMES = """
    after-all all-gather-done all-reduce-done async-done async-update bitcast call-done
    collective-permute-done constant copy-done dynamic-slice-done get-tuple-element
    opt-barrier parameter partition-id replica-id slice-done tuple
"""
# Moved, compared, chosen: no arithmetic.
_MOVE_NAMES = """
    and bitcast-convert broadcast call compare concatenate conditional convert copy custom-call
    dynamic-slice dynamic-update-slice fusion gather get-dimension-size iota is-finite not or pad
    reduce-precision reshape reverse select shift-left shift-right-arithmetic shift-right-logical
    slice transpose while xor
"""
_FREE = frozenset(_FREE_NAMES.split())
_MOVES = frozenset(_MOVE_NAMES.split())
# They move data from device to device, perhaps adding it up.
_COLLECTIVE_NAMES = """
    all-gather all-reduce all-to-all collective-permute ragged-all-to-all reduce-scatter
"""
_COLLECTIVES = frozenset(_COLLECTIVE_NAMES.split())
_SLICES = frozenset(["slice", "dynamic-slice", "gather"])
# They run beside other kernels.
_START_NAMES = """
    all-gather-start all-reduce-start async-start call-start collective-permute-start
    copy-start dynamic-slice-start slice-start
"""
_STARTS = frozenset(_START_NAMES.split())


@dataclass(frozen=True)
class Array:
    """A result: its type, its shape, the bytes that it takes with its layout, and where it lies.

    `space` is 0 for the device's memory, 1 for VMEM; `padding` is a part of `bytes`, as a factor.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    space: int

    padding: float = 1.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Instruction:
    """One line of the program."""

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str

    @property
    def called(self) -> list[str]:
        return _CALLED.findall(self.attributes)

    def attribute(self, pattern: str) -> str | None:
        found = re.search(pattern, self.attributes)
        return found[1] if found else None

    @property
    def op_name(self) -> str:
        return self.attribute(r'op_name="([^"]*)"') or ""

    @property
    def estimated_cycles(self) -> int | None:
        """What XLA thinks that it takes; -1 where it could not tell."""
        cycles = self.attribute(r'"estimated_cycles":"(-?\d+)"')
        return int(cycles) if cycles and int(cycles) >= 0 else None

    @property
    def vmem(self) -> int | None:
        """Bytes of VMEM that it allocates while it runs, on a TPU."""
        used = self.attribute(r'"used_scoped_memory_configs":(\[[^\]]*\])')
        spaces = json.loads(used) if used else []
        return sum(int(s["size"]) for s in spaces if s["memory_space"] == "1") or None


@dataclass
class Computation:
    """A function of the program."""

    instructions: dict[str, Instruction] = field(default_factory=dict)
    root: str = ""


@dataclass(frozen=True)
class Launch:
    """An instruction that runs as a kernel, and how often."""

    instruction: Instruction
    calls: int
    computation: Computation


class Program:
    """A compiled module, from `compiled.as_text()`."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, Computation] = {}
        self.entry = ""
        self.text = text
        current: Computation | None = None
        for line in _statements(text):
            if heading := _COMPUTATION.match(line):
                current = self.computations[heading[2]] = Computation()
                if heading[1]:
                    self.entry = heading[2]
            elif _END.match(line):
                current = None
            elif current is not None and (found := _INSTRUCTION.match(line)):
                instruction = _instruction(found[2], found[3])
                current.instructions[instruction.name] = instruction
                if found[1]:
                    current.root = instruction.name
        self._frames = _frames(text)

    def launches(self) -> Iterator[Launch]:
        """What runs, in order: the instructions of the program and of its loops."""
        yield from self._launches(self.entry, 1)

    def _launches(self, name: str, calls: int) -> Iterator[Launch]:
        computation = self.computations.get(name, Computation())
        for instruction in computation.instructions.values():
            if instruction.opcode in _FREE:
                continue
            if instruction.opcode in ("while", "conditional", "call"):
                turns = self._turns(instruction, computation)
                branches = re.findall(
                    r"(?:true|false)_computation=%?([\w.\-]+)", instruction.attributes
                )
                listed = instruction.attribute(r"branch_computations=\{([^}]*)\}")
                branches += re.findall(r"%?([\w.\-]+)", listed or "")
                for called in [*instruction.called, *branches]:
                    yield from self._launches(called, calls * turns)
            else:
                yield Launch(instruction, calls, computation)

    def _turns(self, loop: Instruction, around: Computation) -> int:
        """How often the body of a loop runs; 1 where the program does not tell."""
        if known := loop.attribute(r'"known_trip_count":\{"n":"(\d+)"'):
            return int(known)
        # On a TPU only the condition tells: a counter, which grows by one, below a constant.
        name = loop.attribute(r"condition=%?([\w.\-]+)") or ""
        condition = self.computations.get(name, Computation())
        test = condition.instructions.get(condition.root)
        if test is None or test.opcode != "compare" or "direction=LT" not in test.attributes:
            return 1
        counter, limit = (condition.instructions[name] for name in test.operands)
        state = around.instructions.get(loop.operands[0])
        index = counter.attribute(r"index=(\d+)")
        if state is None or state.opcode != "tuple" or index is None:
            return 1
        first = around.instructions[state.operands[int(index)]]
        while first.opcode == "copy":
            first = around.instructions[first.operands[0]]
        start, end = _integer(first), _integer(limit)
        return 1 if start is None or end is None else max(0, end - start)

    def collectives(self, launch: Launch) -> Iterator[tuple[str, int]]:
        """Kind of each exchange between devices in a kernel, and bytes that a device gives."""
        instruction, local = launch.instruction, launch.computation.instructions
        kind = instruction.opcode.removesuffix("-start")
        if kind in _COLLECTIVES:
            given = [local[name] for name in instruction.operands if name in local]
            yield kind, sum(array.bytes for operand in given for array in operand.results)
            return
        for name in instruction.called:
            inner = self.computations.get(name, Computation())
            for part in inner.instructions.values():
                yield from self.collectives(Launch(part, launch.calls, inner))

    def operands(self, launch: Launch) -> list[Array]:
        """The arrays that a kernel takes."""
        local = launch.computation.instructions
        return [a for name in launch.instruction.operands for a in local[name].results]

    def bytes(self, launch: Launch) -> int:
        """Bytes of the device's memory that a kernel reads and writes at least, paddings included.

        Of an operand of which a fusion takes slices only the slices count.
        """
        instruction, local = launch.instruction, launch.computation.instructions
        operands = [local[name] for name in instruction.operands if name in local]
        if instruction.opcode in _STARTS:
            # The results name source and destination both.
            return _memory(operands[0].results) if operands else 0
        fused = self.computations.get(next(iter(instruction.called), ""))
        if instruction.opcode != "fusion" or fused is None:
            read = sum(_memory(o.results) for o in operands)
            return read + _memory(instruction.results)
        return self._read(fused, operands) + self._written(fused, instruction)

    def _read(self, fused: Computation, operands: list[Instruction]) -> int:
        total = 0
        users: dict[str, list[Instruction]] = {}
        for user in fused.instructions.values():
            for name in user.operands:
                users.setdefault(name, []).append(user)
        for parameter in fused.instructions.values():
            if parameter.opcode != "parameter":
                continue
            index = int(parameter.attribute(r"^\((\d+)\)") or 0)
            full = _memory(operands[index].results) if index < len(operands) else 0
            taken = 0
            for user in users.get(parameter.name, []):
                if user.opcode == "dynamic-update-slice" and user.operands[0] == parameter.name:
                    continue  # written in place: not read
                partial = user.opcode in _SLICES and user.operands[0] == parameter.name
                taken += sum(a.bytes for a in user.results) if partial else full
            total += min(full, taken)
        return total

    def _written(self, fused: Computation, instruction: Instruction) -> int:
        root = fused.instructions.get(fused.root)
        if root is not None and root.opcode == "dynamic-update-slice":
            update = fused.instructions.get(root.operands[1])
            if update is not None and _memory(instruction.results):
                return sum(array.bytes for array in update.results)
        return _memory(instruction.results)

    def flops(self, launch: Launch) -> tuple[int, int]:
        """Arithmetic of a kernel of XLA's own: in matrix units, and in vector units."""
        return self._flops(launch.instruction, launch.computation)

    def _flops(self, instruction: Instruction, around: Computation) -> tuple[int, int]:
        size = sum(array.size for array in instruction.results[:1])
        if instruction.opcode == "fusion":
            matrix = vector = 0
            for called in instruction.called[:1]:
                fused = self.computations.get(called, Computation())
                for inner in fused.instructions.values():
                    more = self._flops(inner, fused)
                    matrix, vector = matrix + more[0], vector + more[1]
            return matrix, vector
        if instruction.opcode in ("dot", "convolution"):
            return 2 * size * self._contracted(instruction, around), 0
        if instruction.opcode in _FREE or instruction.opcode in _MOVES | _STARTS:
            return 0, 0
        if instruction.opcode.startswith("reduce") and instruction.operands:
            operand = around.instructions.get(instruction.operands[0])
            return 0, sum(a.size for a in operand.results[:1]) if operand else size
        return 0, size

    def _contracted(self, instruction: Instruction, around: Computation) -> int:
        shapes = [
            around.instructions[name].results[0].shape
            for name in instruction.operands
            if name in around.instructions
        ]
        if len(shapes) < 2:
            return 1
        dims = instruction.attribute(r"lhs_contracting_dims=\{([0-9,]*)\}")
        if dims is not None:
            return math.prod(shapes[0][int(axis)] for axis in dims.split(",") if axis)
        labels = instruction.attribute(r"dim_labels=\w+_(\w+)->")
        if labels is None:
            return 1
        return math.prod(n for n, label in zip(shapes[1], labels, strict=True) if label != "o")

    def source(self, instruction: Instruction) -> str:
        """`file:line` of the Python code that it comes from, where it is known."""
        frame = instruction.attribute(r"stack_frame_id=(\d+)")
        if frame is not None:
            return self._frames.get(int(frame), "")
        file = instruction.attribute(r'source_file="([^"]*)"')
        line = instruction.attribute(r"source_line=(\d+)")
        return f"{file}:{line}" if file else ""


def _statements(text: str) -> Iterator[str]:
    """The lines, but an instruction that is written over several as one.

    The metadata of a Pallas kernel holds line breaks, and its last line begins with a brace.
    """
    instruction = ""
    for line in text.splitlines():
        starts = _INSTRUCTION.match(line) is not None
        if instruction and not starts and not _END.match(line):
            instruction += line
            continue
        if instruction:
            yield instruction
        instruction = line if starts else ""
        if not starts:
            yield line


def _instruction(name: str, text: str) -> Instruction:
    end = _closing(text, 0) if text.startswith("(") else _end_of_type(text)
    kind, rest = text[:end], text[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    start = len(opcode)
    stop = _closing(rest, start)
    inner = rest[start:stop]
    operands = tuple(re.findall(r"%([\w.\-]+)", inner))
    # The number of a parameter stands between the brackets: keep it with the attributes.
    attributes = inner + rest[stop:] if opcode in ("parameter", "constant") else rest[stop:]
    return Instruction(name, opcode.strip(), tuple(_arrays(kind)), operands, attributes)


def _integer(instruction: Instruction) -> int | None:
    found = instruction.attribute(r"^\((-?\d+)\)")
    return int(found) if instruction.opcode == "constant" and found else None


def _end_of_type(text: str) -> int:
    brace = text.find("{")
    space = text.find(" ")
    return text.index("}", brace) + 1 if 0 <= brace < space else space


def _closing(text: str, start: int) -> int:
    """The place behind the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i + 1
    return len(text)


def _arrays(text: str) -> Iterator[Array]:
    for dtype, dims, layout in _ARRAY.findall(text):
        shape = tuple(int(d) for d in dims.split(",") if d)
        space = _SPACE.search(layout)
        bits = 8 if dtype == "pred" else int((_BITS.findall(dtype) or ["0"])[0])
        physical = _padded(shape, layout)
        yield Array(
            dtype,
            shape,
            bytes=math.ceil(physical * bits / 8),
            space=int(space[1]) if space else 0,
            padding=physical / math.prod(shape) if math.prod(shape) else 1.0,
        )


def _padded(shape: tuple[int, ...], layout: str) -> int:
    """Elements with the padding of the first tile: the minor dimensions fill whole tiles."""
    tile = _TILE.search(layout)
    order = [int(axis) for axis in layout.partition(":")[0].split(",") if axis]
    if tile is None or "*" in tile[1] or len(order) != len(shape):
        return math.prod(shape)
    sizes = [shape[axis] for axis in reversed(order)]
    for i, count in enumerate(reversed([int(n) for n in tile[1].split(",")]), 1):
        if i <= len(sizes):
            sizes[-i] = math.ceil(sizes[-i] / count) * count
    return math.prod(sizes)


def _memory(arrays: tuple[Array, ...]) -> int:
    return sum(array.bytes for array in arrays if array.space == 0)


def _frames(text: str) -> dict[int, str]:
    """Stack frames by number, from the tables at the head of the text."""

    def table(title: str) -> dict[int, str]:
        found = re.search(rf"^{title}\n((?:\d+ .*\n)*)", text, re.MULTILINE)
        lines = found[1].splitlines() if found else []
        return {int(line.split(" ", 1)[0]): line.split(" ", 1)[1] for line in lines}

    files = table("FileNames")
    places = {}
    for number, row in table("FileLocations").items():
        fields = dict(re.findall(r"(\w+)=(\d+)", row))
        file = files.get(int(fields.get("file_name_id", 0)), "").strip('"')
        places[number] = f"{file}:{fields.get('line', '?')}"
    frames = {}
    for number, row in table("StackFrames").items():
        fields = dict(re.findall(r"(\w+)=(\d+)", row))
        frames[number] = places.get(int(fields.get("file_location_id", 0)), "")
    return frames
