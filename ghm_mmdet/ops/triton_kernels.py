"""Triton kernels of the region sums and their gradient.

Examples are read in tiles of R x F places: F neighbours along the axis on which the prediction's
stride is smallest (*minor*), R along the other (*major*). A thread holds V x W of these places, W
of them from one load of up to 16 bytes. Anchors run along either axis; labels and weights are read
once per anchor and tile. An ignored example is not read: it becomes NaN, and NaN is in no region.

Counts and sums, few regions
    In registers each thread adds loss * [example is in the region], for every region. M comparisons
    and M selections per example would cost more than reading it, so the indicator is split:
    with region = 3 group + member, [region] = [group] [member]. This takes M / 3 + 3 comparisons,
    and one multiply-add per region. The counts of a group's three regions take one more together:
    they are fields of 8 bits in a float, which holds 24 bits exactly, so a thread sees at most 255
    examples. A tile with no example beyond the first region, as nearly all are, needs no indicator:
    one count and one sum. Each program writes its own sums. The last one to finish adds the sums of
    all levels in float64, and computes the loss, see :mod:`triton_from_sums`. Only finished
    programs, non-finite examples and bad targets are counted atomically.

Counts and sums, many regions
    Integer atomics, which give the same result in any order. A float32 loss is an integer of 24
    bits times a power of two: the upper bits of its exponent choose one of ``WINDOWS`` int64 sums,
    the lower bits say how far the integer is shifted. Every addition is exact, for up to 2^23
    examples, except for the bits below 2^-55 of a loss below 2^-32.

Gradient
    With s_j the derivative of the loss with respect to the loss sum of region j, an example in
    region j gets s_j dl/dx: one read of the logits, a look-up of s_j, one write in their dtype.

The region is floor(g M). It differs from that of the float32 edges only where g is within two units
in the last place of an edge.

One launch for all levels
    A program finds its level in a table of the numbers that differ from level to level, addresses
    among them. Its integers are multiplied by 16, so that all are divisible by it: Triton compiles
    a kernel again if an integer's divisibility by 16 changes.

Arguments that all kernels share
    levels: The table, see ``row_of``.
    strides: Of prediction, target, score, weight and gradient, along minor or of a line.
    classes: C.
    mu: Parameter of the criterion.
    EVALUATE: The criterion, one of the two functions below.
    LEVELS: Number of levels.
    DTYPES: Of the same tensors as ``strides``.
    ALIGNED: Whether they are matrices whose rows begin at 16 bytes.
    TARGET: 'label', 'score' or 'dense'.
    PROBABILITIES: Whether dense targets have to lie in [0, 1].
    WEIGHT: 'none', 'anchor' or 'example'.
    ANCHORS_MINOR: Whether anchors run along minor, classes along major.
    BLOCK: (R, F, V, W).
"""

# ruff: noqa: RUF005
# Triton compiles the sum of two tuples. It cannot unpack one in another, nor choose between two in
# one expression.

from __future__ import annotations

import triton
import triton.language as tl

from ghm_mmdet.ops import target_range, triton_layout
from ghm_mmdet.ops.triton_from_sums import harmonize

INFINITY = tl.constexpr(float('inf'))
NEGATIVE_LOG2_E = tl.constexpr(-1.4426950408889634)
ROUNDING = tl.constexpr(target_range.ROUNDING)
LOAD_BITS = tl.constexpr(8 * triton_layout.LOAD_BYTES)
# How many sums of other programs the last one holds; more would take registers from all programs.
SUMS_AT_ONCE = tl.constexpr(1024)

WINDOW_BITS = tl.constexpr(4)
# The exponent of 2^-32: losses from there on keep every bit. 127 is the bias, 254 the largest.
LOWEST_EXPONENT = tl.constexpr(127 - 32)
WINDOWS = tl.constexpr(((254 - (127 - 32)) >> 4) + 1)
# log2 of the unit of window 0: the last of the 23 bits behind the point
LOWEST_UNIT = tl.constexpr(-32 - 23)


@triton.jit
def log1p_of_unit_interval(z):
    """log(1 + z) for z in [0, 1], by a minimax polynomial of relative error 3e-8."""
    p = 0.00523267628
    p = p * z - 0.0295050966
    p = p * z + 0.0782255866
    p = p * z - 0.136632013
    p = p * z + 0.191059781
    p = p * z - 0.248429725
    p = p * z + 0.333190952
    p = p * z - 0.49999493
    p = p * z + 0.99999997
    return p * z


@triton.jit
def sigmoid_cross_entropy(x, y, mu):
    """Loss, derivative and whether the input is finite, of logits x and finite targets y.

    z = exp(-|x|) cannot overflow: p = 1 / (1 + z) for x >= 0, else z / (1 + z), and
    CE = max(x, 0) - x y + log(1 + z).
    """
    z = tl.exp2(tl.abs(x) * NEGATIVE_LOG2_E)
    upper = 1 / (1 + z)
    derivative = tl.where(x >= 0, upper, z * upper) - y
    loss = tl.maximum(x, 0.0) - x * y + log1p_of_unit_interval(z)
    return loss, derivative, tl.abs(x) < INFINITY


@triton.jit
def authentic_smooth_l1(x, y, mu):
    """Loss, derivative and whether the input is finite, with d = x - y.

    d^2 / (sqrt(d^2 + mu^2) + mu) is sqrt(d^2 + mu^2) - mu without the cancellation at small d.
    """
    difference = x - y
    root = tl.sqrt(difference * difference + mu * mu)
    # with an infinite root the gradient norm would be 0 for the largest errors
    root = tl.where(root < INFINITY, root, float('nan'))
    loss = difference * (difference / (root + mu))
    return loss, difference / root, tl.abs(loss) < INFINITY


@triton.jit
def unit_region(gradient_norm, regions):
    """Region of each gradient norm, as a float; the last region is closed at 1."""
    return tl.minimum(tl.floor(gradient_norm * regions), regions - 1.0)


@triton.jit
def row_of(levels, program, LEVELS: tl.constexpr):
    """The table's row for a program.

    Returns:
        Addresses of prediction, target, score, weight and gradient; strides along major of those
        that may be matrices, which the score is not; anchors, the number of the level, its first
        program; and its factor, the only one that is not multiplied by 16.
    """
    row = levels[0]
    for i in tl.static_range(1, LEVELS):
        is_here = program * 16 >= levels[i][11]
        chosen = ()
        for k in tl.static_range(13):
            chosen = chosen + (tl.where(is_here, levels[i][k], row[k]),)
        row = chosen
    return row


@triton.jit
def pointer(address, DTYPE: tl.constexpr):
    """A pointer from an address of the host."""
    return (address.to(tl.int64) >> 4).to(tl.pointer_type(DTYPE))


@triton.jit
def locate(tile, size, BLOCK: tl.constexpr):
    """First major and minor index of a tile, int64."""
    minor_tiles = tl.cdiv(size[1], BLOCK[1])
    row = tile // minor_tiles
    return row.to(tl.int64) * BLOCK[0], (tile - row * minor_tiles).to(tl.int64) * BLOCK[1]


@triton.jit
def inside(first, length, BLOCK: tl.constexpr):
    """Which of the BLOCK places from ``first`` on lie below ``length``."""
    return tl.arange(0, BLOCK) < length - first


@triton.jit
def along(line, stride, first, BLOCK: tl.constexpr):
    """Pointers to BLOCK neighbours on one axis; int64, as there may be over 2^31 elements."""
    return line + first * stride + tl.arange(0, BLOCK).to(tl.int64) * stride


@triton.jit
def across(
    address,
    major_stride,
    minor_stride,
    major,
    minor,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Pointers to the tile of a matrix at (major, minor), shape (R, F).

    The address and the stride along major are those of a table's row.
    """
    # without `pointer`: Triton inlines it, and `multiple_of` on the result of a call is then lost
    matrix = (address.to(tl.int64) >> 4).to(tl.pointer_type(DTYPE))
    major_stride = major_stride >> 4
    if ALIGNED:
        matrix = tl.multiple_of(matrix, 16)
        major_stride = tl.multiple_of(major_stride, LOAD_BITS // DTYPE.primitive_bitwidth)
    rows = along(matrix + minor * minor_stride, major_stride, major, BLOCK[0])
    return rows[:, None] + tl.arange(0, BLOCK[1]).to(tl.int64)[None, :] * minor_stride


@triton.jit
def is_out_of_range(probability):
    """See :mod:`ghm_mmdet.ops.target_range`; what is not finite is not out of range."""
    outside = (probability < -ROUNDING) | (probability > 1 + ROUNDING)
    return outside & (tl.abs(probability) < INFINITY)


@triton.jit
def add_per_thread(values, BLOCK: tl.constexpr):
    """Sum over the V x W values that one thread holds, shape (R / V, F / W)."""
    V: tl.constexpr = BLOCK[2]
    W: tl.constexpr = BLOCK[3]
    S: tl.constexpr = BLOCK[0] // V
    T: tl.constexpr = BLOCK[1] // W
    by_thread = tl.permute(tl.reshape(values, [V, S, T, W]), [1, 2, 0, 3])
    return tl.sum(tl.reshape(by_thread, [S, T, V * W]), axis=2)


@triton.jit
def load_examples(
    row,
    strides,
    classes,
    tile,
    PROBABILITIES: tl.constexpr,
    DTYPES: tl.constexpr,
    ALIGNED: tl.constexpr,
    TARGET: tl.constexpr,
    WEIGHT: tl.constexpr,
    ANCHORS_MINOR: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A tile of a level, computed in float32.

    Args:
        row: Of the level, see ``row_of``.
        tile: Its number in the level.

    Returns:
        major, minor, inside_both: Where the tile begins, and which of its places exist (R, F).
        x, y, valid: Shape (R, F); x is NaN where it is ignored or where y is not finite.
        weights, examples: What each weight contributes to the weight sum, and the number of its
            valid examples; one entry per weight.
        bad_targets: Targets that are out of range and not ignored: one entry per anchor for labels
            and scores, one per thread for values. With a weight for every example, labels and
            scores are not counted.
    """
    anchors = row[9] >> 4
    if ANCHORS_MINOR:
        if ALIGNED[0]:
            anchors = tl.multiple_of(anchors, 16)
        size = classes, anchors
    else:
        size = anchors, classes
    major, minor = locate(tile, size, BLOCK)
    inside_major = inside(major, size[0], BLOCK[0])
    inside_minor = inside(minor, size[1], BLOCK[1])
    inside_both = inside_major[:, None] & inside_minor[None, :]
    # CLASSES is the axis of the classes. Along it, labels and weights of anchors have one entry.
    if ANCHORS_MINOR:
        CLASSES: tl.constexpr = 0
        anchor, counted, class_0, column = minor, inside_minor, major, tl.arange(0, BLOCK[0])
    else:
        CLASSES: tl.constexpr = 1
        anchor, counted, class_0, column = major, inside_major, minor, tl.arange(0, BLOCK[1])
    ANCHORS: tl.constexpr = BLOCK[1 - CLASSES]

    columns = tl.minimum(tl.maximum(size[CLASSES] - class_0, 0), BLOCK[CLASSES]).to(tl.int32)
    if WEIGHT == 'none':
        given = tl.expand_dims(tl.where(counted, 1.0, 0.0), CLASSES)
    elif WEIGHT == 'anchor':
        line = along(pointer(row[3], DTYPES[3]), strides[3], anchor, ANCHORS)
        # A line is loaded in one dimension: in two, the whole tile would get its layout.
        given = tl.expand_dims(tl.load(line, mask=counted, other=0), CLASSES)
    else:
        matrix = across(row[3], row[7], strides[3], major, minor, DTYPES[3], ALIGNED[3], BLOCK)
        given = tl.load(matrix, mask=inside_both, other=0)
        columns = 1
    positive = given > 0
    valid = positive & inside_both
    weights = tl.where(positive, given.to(tl.float32), 0.0) * columns
    examples = tl.where(positive, columns, 0)

    matrix = across(row[0], row[5], strides[0], major, minor, DTYPES[0], ALIGNED[0], BLOCK)
    x = tl.load(matrix, mask=valid, other=float('nan'))
    x = x.to(tl.float32)
    if TARGET == 'dense':
        matrix = across(row[1], row[6], strides[1], major, minor, DTYPES[1], ALIGNED[1], BLOCK)
        y = tl.load(matrix, mask=valid, other=0).to(tl.float32)
        if PROBABILITIES:
            bad = is_out_of_range(y) & valid
            bad_targets = add_per_thread(bad.to(tl.int32), BLOCK)
        else:
            THREADS: tl.constexpr = [BLOCK[0] // BLOCK[2], BLOCK[1] // BLOCK[3]]
            bad_targets = tl.zeros(THREADS, tl.int32)
    else:
        line = along(pointer(row[1], DTYPES[1]), strides[1], anchor, ANCHORS)
        label = tl.load(line, mask=counted, other=-1)
        is_object = (label >= 0) & (label < size[CLASSES])
        bad = ~is_object & (label != size[CLASSES])
        label = tl.where(is_object, label - class_0, -1).to(tl.int32)
        at_label = tl.expand_dims(column, 1 - CLASSES) == tl.expand_dims(label, CLASSES)
        if TARGET == 'score':
            line = along(pointer(row[2], DTYPES[2]), strides[2], anchor, ANCHORS)
            score = tl.load(line, mask=counted, other=0).to(tl.float32)
            bad = bad | (is_object & is_out_of_range(score))
            y = tl.where(at_label, tl.expand_dims(score, CLASSES), 0.0)
        else:
            y = tl.where(at_label, 1.0, 0.0)
        if WEIGHT == 'example':
            bad_targets = tl.zeros([ANCHORS], tl.int32)
        else:
            # an anchor of many classes is seen by several tiles, and counted by the first
            counts = counted & (tl.reshape(given, [ANCHORS]) > 0) & (class_0 == 0)
            bad_targets = (counts & bad).to(tl.int32)
    if TARGET != 'label':
        x = tl.where(tl.abs(y) < INFINITY, x, float('nan'))
    return major, minor, inside_both, x, y, valid, weights, examples, bad_targets


# Triton would compile kernels of their own for a 1 and for multiples of 16.
@triton.jit(do_not_specialize=['first', 'columns', 'tiles'])
def few_regions_kernel(
    levels,
    strides,
    classes,
    mu,
    first,
    columns,
    tiles,
    places,
    numbers,
    EVALUATE: tl.constexpr,
    PROBABILITIES: tl.constexpr,
    WEIGHTS: tl.constexpr,
    REGIONS: tl.constexpr,
    HOW: tl.constexpr,
    LEVELS: tl.constexpr,
    DTYPES: tl.constexpr,
    ALIGNED: tl.constexpr,
    TARGET: tl.constexpr,
    WEIGHT: tl.constexpr,
    ANCHORS_MINOR: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add up ``tiles`` tiles in the program's column of counts (M, P) and sums (M + 1, P).

    The last row has the sums of the weights. The P = ``columns`` columns of all launches lie beside
    each other, those of this one from ``first`` on. WEIGHTS is the shape of a tile's weights. The
    last program to finish calls :func:`finish`.

    ``places`` are addresses: of the partial counts and sums; of counters that start at 0, for
    finished programs, bad targets, all non-finite examples and those of each level; and of what
    :func:`finish` takes.
    """
    counts, sums = pointer(places[0], tl.int32), pointer(places[1], tl.float32)
    wrong = pointer(places[2], tl.int64)
    program = tl.program_id(0)
    row = row_of(levels, program, LEVELS)
    GROUPS: tl.constexpr = (REGIONS + 2) // 3
    ANCHORS: tl.constexpr = BLOCK[int(ANCHORS_MINOR)]
    THREADS: tl.constexpr = [BLOCK[0] // BLOCK[2], BLOCK[1] // BLOCK[3]]
    tallies = ()
    losses = ()
    for _ in tl.static_range(GROUPS):
        tallies = tallies + (tl.zeros(THREADS, tl.float32),)
    for _ in tl.static_range(3 * GROUPS):
        losses = losses + (tl.zeros(THREADS, tl.float32),)
    weights = tl.zeros(WEIGHTS, tl.float32)
    examples = tl.zeros(WEIGHTS, tl.int32)
    if TARGET == 'dense':
        bad_targets = tl.zeros(THREADS, tl.int32)
    else:
        bad_targets = tl.zeros([ANCHORS], tl.int32)

    place = program - (row[11] >> 4)
    for tile in range(place * tiles, (place + 1) * tiles):
        _major, _minor, _inside, x, y, _valid, tile_weights, tile_examples, tile_bad = (
            load_examples(
                row,
                strides,
                classes,
                tile,
                PROBABILITIES,
                DTYPES,
                ALIGNED,
                TARGET,
                WEIGHT,
                ANCHORS_MINOR,
                BLOCK,
            )
        )
        weights += tile_weights
        examples += tile_examples
        bad_targets += tile_bad
        loss, derivative, finite = EVALUATE(x, y, mu)
        # zero times NaN would be NaN
        loss = tl.where(finite, loss, 0.0)
        region = tl.where(finite, unit_region(tl.abs(derivative), REGIONS), -3.0)
        if tl.max(region) > 0:
            # exact: region / 3 ends in 0, 1/3 or 2/3, and 0.1 more does not reach the next integer
            group = tl.floor(region * (1 / 3) + 0.1)
            member = region - 3 * group
            is_0 = tl.where(member == 0, 1.0, 0.0)
            is_1 = tl.where(member == 1, 1.0, 0.0)
            is_2 = tl.where(member == 2, 1.0, 0.0)
            tally = is_0 + 256 * is_1 + 65536 * is_2
            loss_0, loss_1, loss_2 = is_0 * loss, is_1 * loss, is_2 * loss
            new_tallies = ()
            new_losses = ()
            for j in tl.static_range(GROUPS):
                in_group = tl.where(group == j, 1.0, 0.0)
                new_tallies = new_tallies + (tallies[j] + add_per_thread(in_group * tally, BLOCK),)
                new_losses = new_losses + (
                    losses[3 * j] + add_per_thread(in_group * loss_0, BLOCK),
                    losses[3 * j + 1] + add_per_thread(in_group * loss_1, BLOCK),
                    losses[3 * j + 2] + add_per_thread(in_group * loss_2, BLOCK),
                )
            tallies = new_tallies
            losses = new_losses
        else:
            first_tally = tallies[0] + add_per_thread(tl.where(finite, 1.0, 0.0), BLOCK)
            tallies = (first_tally,) + tallies[1:]
            losses = (losses[0] + add_per_thread(loss, BLOCK),) + losses[1:]

    column = first + program
    nonfinite = tl.sum(examples)
    for j in tl.static_range(REGIONS):
        count = tl.sum((tallies[j // 3].to(tl.int32) >> (8 * (j % 3))) & 255)
        nonfinite -= count
        tl.store(counts + j * columns + column, count)
        tl.store(sums + j * columns + column, row[12] * tl.sum(losses[j]))
    tl.store(sums + REGIONS * columns + column, tl.sum(weights))
    bad = tl.sum(bad_targets)
    tl.atomic_add(wrong + 1, bad.to(tl.int64), mask=bad > 0, sem='relaxed')
    missing = nonfinite > 0
    tl.atomic_add(wrong + 2, nonfinite.to(tl.int64), mask=missing, sem='relaxed')
    of_level = wrong + 3 + (row[10] >> 4)
    tl.atomic_add(of_level, nonfinite.to(tl.int64), mask=missing, sem='relaxed')
    # all warps must have stored before one of them counts this program as finished
    tl.debug_barrier()
    if tl.atomic_add(wrong, 1, sem='acq_rel') == columns - 1:
        finish(counts, sums, columns, wrong, places, numbers, REGIONS, HOW)


@triton.jit
def finish(
    partial_counts,
    partial_sums,
    columns,
    wrong,
    places,
    numbers,
    REGIONS: tl.constexpr,
    HOW: tl.constexpr,
):
    """Add up the sums of all programs, in a fixed order, and compute the loss from them.

    ``places`` has, from index 3 on, counts, losses and weight sum, and unless HOW is None the
    arguments of :func:`harmonize`: beta, scale and loss; moving average, its weight and edges.
    """
    ROWS: tl.constexpr = triton.next_power_of_2(REGIONS + 1)
    COLUMNS: tl.constexpr = SUMS_AT_ONCE // ROWS
    row = tl.arange(0, ROWS)
    counts = tl.zeros([ROWS], tl.int64)
    totals = tl.zeros([ROWS], tl.float64)
    for first in range(0, columns, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        # not from the first-level cache, which may hold older values
        offsets = row[:, None].to(tl.int64) * columns + column
        mask = (row <= REGIONS)[:, None] & (column < columns)
        part = tl.load(partial_sums + offsets, mask=mask, other=0.0, cache_modifier='.cg')
        totals += tl.sum(part.to(tl.float64), 1)
        mask = (row < REGIONS)[:, None] & (column < columns)
        part = tl.load(partial_counts + offsets, mask=mask, other=0, cache_modifier='.cg')
        counts += tl.sum(part, 1)
    losses = totals.to(tl.float32)
    inside = row < REGIONS
    weight_sum = tl.sum(tl.where(row == REGIONS, losses, 0.0))
    tl.store(pointer(places[3], tl.int64) + row, counts, mask=inside)
    tl.store(pointer(places[4], tl.float32) + row, losses, mask=inside)
    tl.store(pointer(places[5], tl.float32), weight_sum)
    if HOW is not None:
        nonfinite = tl.load(wrong + 2, cache_modifier='.cg')
        sums = counts, losses, weight_sum, nonfinite
        harmonized = (
            pointer(places[6], tl.float32),
            pointer(places[7], tl.float32),
            pointer(places[8], tl.float32),
        )
        state = (
            pointer(places[9], tl.float32),
            pointer(places[10], tl.float32),
            pointer(places[11], tl.float32),
        )
        harmonize(
            sums,
            counts,
            weight_sum,
            nonfinite,
            harmonized,
            state,
            numbers,
            REGIONS,
            ROWS,
            HOW,
        )


@triton.jit
def many_regions_kernel(
    levels,
    strides,
    classes,
    mu,
    places,
    regions,
    copies,
    EVALUATE: tl.constexpr,
    PROBABILITIES: tl.constexpr,
    LEVELS: tl.constexpr,
    DTYPES: tl.constexpr,
    ALIGNED: tl.constexpr,
    TARGET: tl.constexpr,
    WEIGHT: tl.constexpr,
    ANCHORS_MINOR: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add one tile to one of the copies of counts (copies, M) and sums (copies, WINDOWS, M).

    The factors of the levels are not applied.

    Each program also leaves its numbers of valid examples and of bad targets, and its sum of
    weights, all (P,). ``places`` are the addresses of counts, sums, and these three.
    """
    program = tl.program_id(0)
    row = row_of(levels, program, LEVELS)
    _major, _minor, _inside, x, y, _valid, tile_weights, tile_examples, tile_bad = load_examples(
        row,
        strides,
        classes,
        program - (row[11] >> 4),
        PROBABILITIES,
        DTYPES,
        ALIGNED,
        TARGET,
        WEIGHT,
        ANCHORS_MINOR,
        BLOCK,
    )
    counts, sums = pointer(places[0], tl.int32), pointer(places[1], tl.int64)
    tl.store(pointer(places[2], tl.int32) + program, tl.sum(tile_examples))
    tl.store(pointer(places[3], tl.int32) + program, tl.sum(tile_bad))
    tl.store(pointer(places[4], tl.float32) + program, tl.sum(tile_weights))
    loss, derivative, finite = EVALUATE(x, y, mu)
    region = tl.where(finite, unit_region(tl.abs(derivative), regions), 0.0).to(tl.int32)

    bits = loss.to(tl.int32, bitcast=True)
    exponent = (bits >> 23) & 255
    mantissa = (bits & 0x7FFFFF) | tl.where(exponent > 0, 0x800000, 0)
    offset = exponent - LOWEST_EXPONENT
    # the exponent of an infinite loss is one window beyond the last
    window = tl.minimum(tl.maximum(offset, 0) >> WINDOW_BITS, WINDOWS - 1)
    shift = tl.maximum(offset, 0) - (window << WINDOW_BITS)
    term = (mantissa >> tl.minimum(tl.maximum(-offset, 0), 31)).to(tl.int64) << shift
    term = tl.where(bits < 0, -term, term)

    copy = (program % copies).to(tl.int64)
    tl.atomic_add(counts + copy * regions + region, 1, mask=finite, sem='relaxed')
    line = copy * WINDOWS + window
    tl.atomic_add(sums + line * regions + region, term, mask=finite, sem='relaxed')


@triton.jit
def gradient_kernel(
    levels,
    strides,
    classes,
    mu,
    places,
    regions,
    EVALUATE: tl.constexpr,
    PROBABILITIES: tl.constexpr,
    LEVELS: tl.constexpr,
    DTYPES: tl.constexpr,
    ALIGNED: tl.constexpr,
    TARGET: tl.constexpr,
    WEIGHT: tl.constexpr,
    ANCHORS_MINOR: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write for one tile each example's derivative times the scale (M,) of its region.

    ``places`` are the addresses of scale, and of one more factor.
    """
    program = tl.program_id(0)
    row = row_of(levels, program, LEVELS)
    major, minor, inside_both, x, y, valid, _weights, _examples, _bad_targets = load_examples(
        row,
        strides,
        classes,
        program - (row[11] >> 4),
        PROBABILITIES,
        DTYPES,
        ALIGNED,
        TARGET,
        WEIGHT,
        ANCHORS_MINOR,
        BLOCK,
    )
    _loss, derivative, finite = EVALUATE(x, y, mu)
    region = tl.where(finite, unit_region(tl.abs(derivative), regions), 0.0).to(tl.int32)
    above = tl.load(pointer(places[1], tl.float32))
    scale = pointer(places[0], tl.float32)
    factor = above * row[12] * tl.load(scale + region, mask=finite, other=0.0)
    # selected, not multiplied: an ignored NaN must not become a NaN gradient
    value = tl.where(valid, derivative * factor, 0.0).to(DTYPES[4])
    gradient = across(row[4], row[8], strides[4], major, minor, DTYPES[4], ALIGNED[4], BLOCK)
    tl.store(gradient, value, mask=inside_both)
