"""Programs in the text that XLA prints, shortened."""

from mapjax.targets.hlo import Program

TEXT = """\
HloModule jit_f, is_scheduled=true

FileNames
1 "/src/blur.py"

FunctionNames
1 "f"

FileLocations
1 {file_name_id=1 function_name_id=1 line=14 end_line=14 column=2 end_column=30}

StackFrames
1 {file_location_id=1 parent_frame_id=1}


%fused_computation (param_0: f32[64,1000], param_1: f32[8,1000]) -> f32[8,1000] {
  %param_0 = f32[64,1000]{1,0:T(8,128)} parameter(0)
  %param_1 = f32[8,1000]{1,0:T(8,128)} parameter(1)
  %slice.1 = f32[8,1000]{1,0:T(8,128)} slice(%param_0), slice={[0:8], [0:1000]}
  %constant.1 = f32[]{:T(128)} constant(2)
  ROOT %add.1 = f32[8,1000]{1,0:T(8,128)} add(%slice.1, %param_1)
}

%dot_computation (param_0.1: bf16[8,512], param_1.1: bf16[512,64]) -> bf16[8,64] {
  %param_0.1 = bf16[8,512]{1,0} parameter(0)
  %param_1.1 = bf16[512,64]{1,0} parameter(1)
  ROOT %dot.1 = bf16[8,64]{1,0} convolution(%param_0.1, %param_1.1), dim_labels=bf_io->bf
}

%body (state: (s32[], f32[8,1000])) -> (s32[], f32[8,1000]) {
  %state = (s32[], f32[8,1000]{1,0:T(8,128)}) parameter(0)
  %value = f32[8,1000]{1,0:T(8,128)} get-tuple-element(%state), index=1
  ROOT %negate.1 = f32[8,1000]{1,0:T(8,128)} negate(%value)
}

ENTRY %main (x: f32[64,1000], a: bf16[8,512], b: bf16[512,64]) -> f32[8,1000] {
  %x = f32[64,1000]{1,0:T(8,128)} parameter(0)
  %y = f32[8,1000]{1,0:T(8,128)S(1)} custom-call(%x), custom_call_target="tpu_custom_call", \
metadata={op_name="jit(f)/blur/pallas_call" stack_frame_id=1}
  %fusion.1 = f32[8,1000]{1,0:T(8,128)} fusion(%x, %y), kind=kLoop, calls=%fused_computation, \
metadata={op_name="jit(f)/add" stack_frame_id=1}, backend_config={"window_config":\
{"estimated_cycles":"1234"},"used_scoped_memory_configs":[{"memory_space":"1","offset":"0",\
"size":"4096"}]}
  %a = bf16[8,512]{1,0} parameter(1)
  %b = bf16[512,64]{1,0} parameter(2)
  %fusion.2 = bf16[8,64]{1,0} fusion(%a, %b), kind=kOutput, calls=%dot_computation
  %copy-start.1 = (f32[8,1000]{1,0:T(8,128)S(1)}, f32[8,1000]{1,0:T(8,128)}, u32[]) \
copy-start(%fusion.1)
  %copy-done.1 = f32[8,1000]{1,0:T(8,128)S(1)} copy-done(%copy-start.1)
  ROOT %while.1 = (s32[], f32[8,1000]{1,0:T(8,128)}) while(%init), condition=%c, body=%body, \
backend_config={"known_trip_count":{"n":"7"}}
}
"""

PADDED = 8 * 1024 * 4  # of f32[8,1000] in tiles of 8 x 128


def launches():
    program = Program(TEXT)
    return program, {launch.instruction.name: launch for launch in program.launches()}


def test_what_runs_and_how_often():
    _, found = launches()
    calls = {name: launch.calls for name, launch in found.items()}
    assert calls == {"y": 1, "fusion.1": 1, "fusion.2": 1, "copy-start.1": 1, "negate.1": 7}


def test_what_crosses_between_devices():
    """Written by itself, in two halves, and called by a core that copies beside the others."""
    text = TEXT.replace(
        "ENTRY",
        """\
%on_another_core (part: f32[8,1000]) -> f32[8,1000] {
  %part = f32[8,1000]{1,0:T(8,128)} parameter(0)
  ROOT %inner = f32[8,1000]{1,0:T(8,128)} all-reduce(%part), to_apply=%sum
}

ENTRY""",
    ).replace(
        "  %copy-start.1",
        """\
  %gathered = bf16[16,512]{1,0} all-gather(%a), dimensions={0}
  %reduced = bf16[8,512]{1,0} all-reduce-start(%a), to_apply=%sum
  %reduced.1 = bf16[8,512]{1,0} all-reduce-done(%reduced)
  %called = (f32[8,1000]{1,0:T(8,128)}, u32[]) call-start(%fusion.1), to_apply=%on_another_core
  %called.1 = f32[8,1000]{1,0:T(8,128)} call-done(%called)
  %copy-start.1""",
        1,
    )
    program = Program(text)
    crossing = {
        launch.instruction.name: list(program.collectives(launch)) for launch in program.launches()
    }
    assert {name: found for name, found in crossing.items() if found} == {
        "gathered": [("all-gather", 2 * 8 * 512)],
        "reduced": [("all-reduce", 2 * 8 * 512)],
        "called": [("all-reduce", PADDED)],
    }
    assert not {"reduced.1", "called.1"} & crossing.keys()


def test_turns_of_a_loop_whose_condition_alone_tells():
    condition = """\
%c (state: (s32[], f32[8,1000])) -> pred[] {
  %state = (s32[], f32[8,1000]{1,0:T(8,128)}) parameter(0)
  %limit = s32[] constant(9)
  %counter = s32[] get-tuple-element(%state), index=0
  ROOT %less = pred[] compare(%counter, %limit), direction=LT
}

ENTRY"""
    initial = """\
  %first = s32[] constant(4)
  %copied = s32[] copy(%first)
  %init = (s32[], f32[8,1000]{1,0:T(8,128)}) tuple(%copied, %copy-done.1)
  ROOT %while.1 ="""
    text = TEXT.replace("ENTRY", condition).replace("  ROOT %while.1 =", initial)
    text = text.replace("known_trip_count", "unknown")
    calls = {launch.instruction.name: launch.calls for launch in Program(text).launches()}
    assert calls["negate.1"] == 5
    calls = Program(text.replace("direction=LT", "direction=NE")).launches()
    assert [launch.calls for launch in calls][-1] == 1


def test_an_instruction_over_several_lines():
    metadata = '"tpu_custom_call", frontend_attributes={kernel_metadata={\n"xprof": "{}"\n}}, '
    program = Program(TEXT.replace('"tpu_custom_call", ', metadata))
    found = [launch.instruction for launch in program.launches()]
    assert [instruction.name for instruction in found] == list(launches()[1])
    assert found[0].op_name == "jit(f)/blur/pallas_call"
    assert program.source(found[0]) == "/src/blur.py:14"


def test_bytes_are_those_of_tiles_in_the_memory_of_the_device():
    program, found = launches()
    # The result stays in VMEM; the argument is read in whole.
    assert program.bytes(found["y"]) == 8 * PADDED
    # Of `x` a slice is read, `y` is in VMEM, and the sum is written.
    assert program.bytes(found["fusion.1"]) == 2 * PADDED
    assert program.bytes(found["copy-start.1"]) == PADDED
    assert program.bytes(found["fusion.2"]) == 2 * (8 * 512 + 512 * 64 + 8 * 64)
    assert program.operands(found["y"])[0].padding == 1024 / 1000


def test_arithmetic_by_unit():
    program, found = launches()
    assert program.flops(found["fusion.1"]) == (0, 8 * 1000)
    assert program.flops(found["fusion.2"]) == (2 * 8 * 512 * 64, 0)
    assert program.flops(found["copy-start.1"]) == (0, 0)


def test_what_an_instruction_says():
    program, found = launches()
    fusion = found["fusion.1"].instruction
    assert fusion.op_name == "jit(f)/add"
    assert fusion.estimated_cycles == 1234
    assert fusion.vmem == 4096
    assert program.source(fusion) == "/src/blur.py:14"
    assert program.source(found["fusion.2"].instruction) == ""


def test_the_source_as_older_versions_write_it():
    text = TEXT.replace("stack_frame_id=1", 'source_file="/src/old.py" source_line=3')
    program = Program(text)
    first = next(iter(program.launches()))
    assert program.source(first.instruction) == "/src/old.py:3"
