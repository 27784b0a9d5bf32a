"""Schedules are read from what libtpu 0.0.40 wrote for a kernel on v5e, shortened: a grid of six
steps, in each a loop of fifty turns."""

import pytest

from mapjax.targets.bundles import read_schedule

BUNDLES = """\
= control target key start
LB: loop body
= control target key end

     0   :  { %6 = vsyncpa }
   0x1   :  { %8 = vsyncpa }
   0x2   :  { %9 = vsyncpa }
   0x3   :  { %11 = vsyncpa }
   0x4   :  { %s444_s8 = smov 0 }
   0x5 LB: > { %s461_s10 = sadd.s32 4294967295, %s420_s9 /* iteration index, stage = 1 */ ;;
   0x6   : > { %s465_s12 = sadd.s32 1, %s420_s9 }
  0x1c   : > { %330 = shalt.err (!%p327_p9) /*
window_bounds: (1, 1)
hlo: soften.1
 */ }
  0x1d   : > { %259 = dma.hbm_to_vmem }
  0x1e   : > { %p105_p1 = pnand %p245_p13, %p104_p0 }
  0x1f   : > { %s525_s16 = sand.u32 }
  0x20   : > { %108 = sbr.rel }
  0x21   : > { %s111_s21 = scalar_lea.sflag }
  0x22   :  {}
  0x23   :  {}
  0x24   :  {}
  0x25   : > { %399 = dma.done.wait }
  0x26   : > { %401 = vsyncadd }
  0x27   : > { %v422_v1 = vmov %v134_v0 }
  0x28 LB: >> { %314 = vtanh.f32 %v424_v1 }
  0x29   : >> { %p137_p12 = scmp.ge.s32.totalorder %s140_s24, 50 }
  0x2a   : > { %s249_s17 = sshll.u32 }
  0x2b   : > { %s157_s27 = scalar_lea.hbm }
  0x2c   : > { %s161_s29 = sshll.u32 }
  0x2d   : > { %139 = sbr.rel }
  0x2e   : >> { %v315_v3 = vpop.eup %314 }
  0x2f   : >> { %v144_v4 = vadd.f32 %v315_v3, %v143_v2 }
  0x30   :  {}
  0x31   : >> { %v423_v1 = vmov %v144_v4 }
  0x32   :  {}
  0x33   : > { %p365_p0 = pneg %p364_p13 }
  0x34   : > { %p370_p5 = pnand %p369_p4, %p365_p0 }
  0x35   : > { %373 = shalt.err }
  0x36   : > { %254 = dma.vmem_to_hbm }
  0x37 PF: > { %p265_p7 = scmp.ge.s32.totalorder %s420_s9, 2 }
  0x38   : > { %s174_s16 = scalar_lea.sflag }
  0x39   : > { %p261_p8 = pnand %p265_p7, %p493_p11 }
  0x3a   : > { %p262_p9 = pneg %p261_p8 }
  0x3b   : > { %403 = dma.done.wait }
  0x3c   : > { %405 = vsyncadd }
  0x3d   : > { %s573_s7 = smov %s416_s8 }
  0x3e   : > { %s575_s9 = smov %s465_s12 }
  0x3f   :  {}
  0x40   :  {}
  0x41   :  {}
  0x42   :  {}
  0x43   :  { %180 = vsyncpa }
  0x44   :  { %182 = vsyncpa }
  0x45   :  { %183 = vsyncpa }
  0x46   :  { %185 = vsyncpa }
"""

UTILIZATION = """\
== CAPACTIY:
MXU, XLU, VALU, VPOP, EUP, VLOAD, VLOAD:FILL, VSTORE, VSTORE:SPILL, SALU
    4     3     4     2     1     3     3     1     1     2
== UTILIZATION:
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 2 0 0 0 2
0 0 1 0 0 0 0 0 0 0
0 0 1 0 0 1 0 0 0 1
0 0 0 0 1 0 0 0 0 1
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 1 0 0 0 0 0 2
0 0 1 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 0
0 0 1 0 0 0 0 1 0 2
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 0 0 0 0 1
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 2
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 0
0 0 0 0 0 1 0 0 0 0
"""

PROGRAM = """\
$region0: #{soften.1}
    loop: start=0, step=1, limit=8
    $region82: #{soften.1} parent=1 // loop_pre_header
        loop: start=0, step=1, limit=50
        $region71: #{soften.1} parent=23 // loop_pre_header
"""


def test_loops_with_their_turns():
    straight, grid, inner = read_schedule(BUNDLES, UTILIZATION, PROGRAM).loops
    assert [loop.depth for loop in (straight, grid, inner)] == [0, 1, 2]
    # Two of the eight turns only fill and drain the pipeline.
    assert [loop.trips for loop in (straight, grid, inner)] == [None, 6, 50]
    assert [loop.runs for loop in (straight, grid, inner)] == [1, 6, 300]
    # The four bundles of less depth, and two empty ones, are a part of the inner loop.
    assert [loop.bundles for loop in (straight, grid, inner)] == [9, 30, 11]


def test_cycles_are_bundles_times_turns():
    schedule = read_schedule(BUNDLES, UTILIZATION, PROGRAM)
    assert schedule.bundles == 50
    assert schedule.cycles == 9 + 30 * 6 + 11 * 300
    assert schedule.spills == schedule.fills == 0


def test_use_of_the_units():
    schedule = read_schedule(BUNDLES, UTILIZATION, PROGRAM)
    inner = schedule.loops[2]
    assert inner.use()["EUP"] == pytest.approx(1 / 11)  # one tanh a turn
    assert inner.use()["VALU"] == pytest.approx(3 / (11 * 4))
    assert schedule.use()["EUP"] == pytest.approx(300 / schedule.cycles)
    assert schedule.use()["MXU"] == 0


def test_spills_are_counted():
    rows = UTILIZATION.strip().splitlines()
    rows[-1] = "0 0 0 0 0 1 2 0 1 0"
    schedule = read_schedule(BUNDLES, "\n".join(rows), PROGRAM)
    assert (schedule.spills, schedule.fills) == (1, 2)
    assert (schedule.loops[0].spills, schedule.loops[0].fills) == (1, 2)


def test_a_loop_whose_turns_nobody_knows():
    unknown = PROGRAM.replace("limit=50", "limit=%s12")
    inner = read_schedule(BUNDLES, UTILIZATION, unknown).loops[2]
    assert (inner.trips, inner.runs) == (None, 6)


def test_texts_of_two_kernels_are_refused():
    rows = UTILIZATION.strip().splitlines()[:-1]
    with pytest.raises(ValueError, match="50 bundles with the use of 49"):
        read_schedule(BUNDLES, "\n".join(rows), PROGRAM)
