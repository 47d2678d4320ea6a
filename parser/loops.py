"""Loops compiled to machine code (numba), for training on a CPU: what lies between its products of matrices.

The library runs each element-wise operation through memory by itself. A loop here does several in one pass, while the
numbers are in the cache. Everything is float32; `fastmath` leaves NaN and infinity alone, so that a loss which is not
finite stays so.

`compiled` is who imports this: numba need not be there.

N places in a line   H state   F columns   M rows of a table   X width of a table
U distinct words   C characters
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_f32, _i32, _u32 = np.float32, np.int32, np.uint32
_ONE, _TWO, _HALF = _f32(1), _f32(2), _f32(0.5)
_LIMIT, _LOG2_E, _LN_2 = _f32(87), _f32(1.4426950408889634), _f32(0.6931471805599453)
_C3, _C4, _C5, _C6 = (_f32(1 / n) for n in (6, 24, 120, 720))
_ROWS = 4
"""Rows that go through a loop together: their gates fit into the first cache, and its last, odd numbers are few."""
_LINE = 16
"""Numbers in a line of the cache."""


def _loop(function: Callable[..., Any], **options: Any) -> Any:
    """Compile at the first call, and keep it on disk where there is a place for that."""
    options |= {"fastmath": {"contract", "reassoc", "nsz", "arcp"}, "error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


def _inline(function: Callable[..., Any]) -> Any:
    return _loop(function, inline="always")


def _fetched(context: Any, numbers: Any, place: Any) -> Any:
    """Ask for a number to be brought into the cache, without waiting for it; any place will do, also one beyond.

    It is LLVM's `prefetch`, of which numba knows nothing.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, i32 = context.make_array(signature.args[0])(context, builder, args[0]), ir.IntType(32)
        address = builder.bitcast(builder.gep(array.data, [args[1]]), cgutils.voidptr_t)
        form = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, i32, i32, i32])
        fetch = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0")
        builder.call(fetch, [address, *(ir.Constant(i32, to) for to in (0, 3, 1))])  # to be read, near, of data
        return context.get_dummy_value()

    return types.void(numbers, types.intp), generate


_fetch: Any = intrinsic(_fetched)


@_inline
def _fetch_all(line, first, count):
    for place in range(first, first + count, _LINE):
        _fetch(line, place)


@_inline
def _exp(x):
    """2^k e^r with |r| at most half of ln 2, where seven terms of the series are exact to a float's last bit or two."""
    x = -_LIMIT if x < -_LIMIT else x
    x = _LIMIT if x > _LIMIT else x
    k = np.floor(x * _LOG2_E + _HALF)
    r = x - k * _LN_2
    series = (((((_C6 * r + _C5) * r + _C4) * r + _C3) * r + _HALF) * r + _ONE) * r + _ONE
    return series * _i32((_i32(k) + _i32(127)) << _i32(23)).view(_f32)


@_inline
def _sigmoid(x):
    return _ONE / (_ONE + _exp(-x))


@_inline
def _tanh(x):
    return _TWO / (_ONE + _exp(-_TWO * x)) - _ONE


@_inline
def _random(place):
    """32 bits that belong to a place: the finalizer of MurmurHash3 (Appleby, public domain)."""
    x = _u32(place)
    x = _u32(_u32(x ^ (x >> _u32(16))) * _u32(0x85EBCA6B))
    x = _u32(_u32(x ^ (x >> _u32(13))) * _u32(0xC2B2AE35))
    return _u32(x ^ (x >> _u32(16)))


@_loop
def lstm_step(span, gates_N4H, cells, out, last, column, inputs_NR, width):
    """One step of some rows of an LSTM, from the product to the states.

    Args:
        span: the rows, see `packed.Span`.
        gates_N4H: sums in front of the gates; becomes the gates: input, forget, candidate as (tanh + 1) / 2, output.
        cells: [starts + N, H].
        out, last, column: the states are written there from that column on, those of a row's last step also into
            its row of `last`, if that has any,
        inputs_NR, width: and from that column on into the input of each row's next step.
    """
    H = cells.shape[1]
    squashed = np.empty(_ROWS * H, _f32)
    all_gates, all_cells = gates_N4H.reshape(-1), cells.reshape(-1)
    for first in range(0, span.rows, _ROWS):
        rows = range(first, min(first + _ROWS, span.rows))
        some = all_gates[(span.first + first) * 4 * H : (span.first + first + len(rows)) * 4 * H]
        for j in range(len(some)):
            some[j] = _sigmoid(some[j])
        for row in rows:
            gates = gates_N4H[span.first + row]
            i, f, s, cell = gates[:H], gates[H : 2 * H], gates[2 * H : 3 * H], cells[span.cell + row]
            if row < span.had:
                before = cells[span.before + row]
                for h in range(H):
                    cell[h] = f[h] * before[h] + i[h] * (_TWO * s[h] - _ONE)
            else:
                for h in range(H):
                    cell[h] = i[h] * (_TWO * s[h] - _ONE)
        some = all_cells[(span.cell + first) * H : (span.cell + first + len(rows)) * H]
        for j in range(len(some)):
            squashed[j] = _tanh(some[j])
        for row in rows:
            o, tanh = gates_N4H[span.first + row, 3 * H :], squashed[(row - first) * H : (row - first + 1) * H]
            state = out[span.first + row, column : column + H]
            for h in range(H):
                state[h] = o[h] * tanh[h]
            if row < span.go_on:
                inputs_NR[span.after + row, width : width + H] = state
            elif len(last):
                last[span.row + row, column : column + H] = state


@_loop
def lstm_step_back(span, gates_N4H, cells, by_out, by_last, column, by_inputs_NR, width, by_cell):
    """The gradient of the sums in front of the gates, from those of the states, of the next inputs and of the cells.

    Args:
        span, cells, column, width: as in `lstm_step`.
        gates_N4H: the gates; becomes the gradient, which then goes through the cache once less.
        by_out, by_last, by_inputs_NR: gradients of `out` and `last`, and of the inputs of the next step.
        by_cell: [rows of a batch, H] gradient of each row's cell; becomes that of the cell before.
    """
    H = cells.shape[1]
    squashed, by_state = np.empty(_ROWS * H, _f32), np.empty(H, _f32)
    all_gates, all_cells, all_by_out = gates_N4H.reshape(-1), cells.reshape(-1), by_out.reshape(-1)
    for first in range(0, span.rows, _ROWS):
        # What the next rows need is on its way from memory while these are worked on.
        ahead = first + _ROWS
        _fetch_all(all_gates, (span.first + ahead) * 4 * H, _ROWS * 4 * H)
        _fetch_all(all_cells, (span.cell + ahead) * H, _ROWS * H)
        _fetch_all(all_cells, (span.before + ahead) * H, _ROWS * H)
        for row in range(ahead, ahead + _ROWS):
            _fetch_all(all_by_out, (span.first + row) * by_out.shape[1] + column, H)
        rows = range(first, min(first + _ROWS, span.rows))
        some = all_cells[(span.cell + first) * H : (span.cell + first + len(rows)) * H]
        for j in range(len(some)):
            squashed[j] = _tanh(some[j])
        for row in rows:
            gates, by_c = gates_N4H[span.first + row], by_cell[span.row + row]
            i, f, s, o = gates[:H], gates[H : 2 * H], gates[2 * H : 3 * H], gates[3 * H :]
            tanh = squashed[(row - first) * H : (row - first + 1) * H]
            by_state[:] = by_out[span.first + row, column : column + H]
            if row < span.go_on:
                by_state += by_inputs_NR[span.after + row, width : width + H]
            elif len(by_last):
                by_state += by_last[span.row + row, column : column + H]
            for h in range(H):
                through = by_state[h] * o[h]
                by_c[h] += through * (_ONE - tanh[h] * tanh[h])
                o[h] = through * tanh[h] * (_ONE - o[h])
            for h in range(H):
                through = by_c[h] * i[h]
                i[h] = through * (_TWO * s[h] - _ONE) * (_ONE - i[h])
                s[h] = through * _TWO * s[h] * (_ONE - s[h])
            if row < span.had:
                before = cells[span.before + row]
                for h in range(H):
                    by_c[h] *= f[h]
                    f[h] = by_c[h] * before[h] * (_ONE - f[h])
            else:
                f[:] = 0
                by_c[:] = 0


@_loop
def _drop(mask_X, place, limit, scale):
    """What units are multiplied with: 0 where their random number is below `limit`.

    Each place decides about two units, by its upper 16 bits and by its lower ones.
    """
    half = len(mask_X) // 2
    for j in range(half):
        number = _random(place + _u32(j))
        mask_X[j] = scale if number >= _u32(limit) else _f32(0)
        mask_X[half + j] = scale if _u32(number << _u32(16)) >= _u32(limit) else _f32(0)
    if len(mask_X) % 2:
        mask_X[2 * half] = scale if _random(place + _u32(half)) >= _u32(limit) else _f32(0)


@_loop
def zeroed(x_NX, out_NX, seed, limit, scale):
    """`x_NX` with some units zeroed and the others scaled."""
    X = x_NX.shape[1]
    mask = np.empty(X, _f32)
    for n in range(len(x_NX)):
        x, out = x_NX[n], out_NX[n]
        _drop(mask, _u32(seed) + _u32(n * X), limit, scale)
        for j in range(X):
            out[j] = x[j] * mask[j]


@_loop
def squashed(x_NX, column, out_NY, width, seed, limit, scale):
    """The hyperbolic tangent of so many columns, from that one on, `zeroed`, as the first ones of `out_NY`."""
    mask = np.empty(width, _f32)
    for n in range(len(out_NY)):
        x, out = x_NX[n, column : column + width], out_NY[n]
        _drop(mask, _u32(seed) + _u32(n * width), limit, scale)
        for j in range(width):
            out[j] = _tanh(x[j]) * mask[j]


@_loop
def squashed_back(out_NY, by_out_NY, by_x_NX, column, width, seed, limit, scale):
    """The gradient of what was squashed; that of a unit which was zeroed is 0."""
    mask = np.empty(width, _f32)
    for n in range(len(out_NY)):
        out, by_out, by_x = out_NY[n], by_out_NY[n], by_x_NX[n, column : column + width]
        _drop(mask, _u32(seed) + _u32(n * width), limit, scale)
        for j in range(width):
            tanh = out[j] / scale
            by_x[j] = by_out[j] * mask[j] * (_ONE - tanh * tanh)


@_loop
def gather(table_MX, index_N, out_NF, column, seed, limit, scale):
    """Rows of a table, side by side with others from that column on, and `zeroed`.

    Args:
        table_MX: the table.
        index_N: rows of it, -1 for one of zeros; empty for all in turn.
        out_NF: is written.
        column: the first one.
        seed, limit, scale: as in `zeroed`.
    """
    X, F = table_MX.shape[1], out_NF.shape[1]
    mask = np.empty(X, _f32)
    for n in range(len(out_NF)):
        out = out_NF[n, column : column + X]
        row = index_N[n] if len(index_N) else n
        if row < 0:
            out[:] = 0
            continue
        table = table_MX[row]
        _drop(mask, _u32(seed) + _u32(n * F + column), limit, scale)
        for j in range(X):
            out[j] = table[j] * mask[j]


@_loop
def with_a_one(x_NX, column):
    """One in that column, zeros behind it."""
    for n in range(len(x_NX)):
        x_NX[n, column] = _ONE
        for j in range(column + 1, x_NX.shape[1]):
            x_NX[n, j] = _f32(0)


@_loop
def scatter(by_table_MX, index_N, once, by_out_NF, column, seed, limit, scale):
    """Add to the gradient of a table what `gather` hands back; where each row is read once, it need not be there."""
    X, F = by_table_MX.shape[1], by_out_NF.shape[1]
    mask = np.empty(X, _f32)
    for n in range(len(by_out_NF)):
        row = index_N[n] if len(index_N) else n
        if row < 0:
            continue
        by_out, by_table = by_out_NF[n, column : column + X], by_table_MX[row]
        if once:
            by_table[:] = 0
        _drop(mask, _u32(seed) + _u32(n * F + column), limit, scale)
        for j in range(X):
            by_table[j] += by_out[j] * mask[j]


@_loop
def spell(table_3CX, chars_UC, letters_U, out_UX, place_UX):
    """The maxima of a convolution over the characters of words, as sums of three rows of a table.

    Args:
        table_3CX: what each character adds to the place behind it, its own and the place before it.
        chars_UC: characters of each word; number 0 stands on either side of it.
        letters_U: how many it has.
        out_UX: gets the maxima.
        place_UX: gets where they are.
    """
    sums = np.empty(out_UX.shape[1], _f32)
    for u in range(len(chars_UC)):
        out, place, chars, last = out_UX[u], place_UX[u], chars_UC[u], letters_U[u] - 1
        for at in range(last + 1):
            left = table_3CX[0, chars[at - 1] if at else 0]
            right = table_3CX[2, chars[at + 1] if at < last else 0]
            middle = table_3CX[1, chars[at]]
            for j in range(len(sums)):
                sums[j] = left[j] + middle[j] + right[j]
            if at:
                for j in range(len(sums)):
                    # What is no number is more than any number.
                    more = sums[j] > out[j] or sums[j] != sums[j]
                    place[j] = at if more else place[j]
                    out[j] = sums[j] if more else out[j]
            else:
                place[:] = 0
                out[:] = sums


@_loop
def spell_back(by_table_3CX, chars_UC, letters_U, by_out_UX, place_UX):
    """Add to the gradient of the table: three numbers for each maximum."""
    for u in range(len(chars_UC)):
        by_out, place, chars, last = by_out_UX[u], place_UX[u], chars_UC[u], letters_U[u] - 1
        for j in range(len(by_out)):
            at = place[j]
            by_table_3CX[0, chars[at - 1] if at else 0, j] += by_out[j]
            by_table_3CX[1, chars[at], j] += by_out[j]
            by_table_3CX[2, chars[at + 1] if at < last else 0, j] += by_out[j]


@_loop
def _fit(asking_NX, first, end, column, asked_WE, fits_NW):
    """How well each of the asked fits each of some rows, from a column of theirs on: inner products, two by four."""
    W, E = asked_WE.shape
    whole = W // 4 * 4
    for n in range(first, end, 2):
        m = min(n + 1, end - 1)  # an odd last row goes twice
        x, y = asking_NX[n, column : column + E], asking_NX[m, column : column + E]
        x_fits, y_fits = fits_NW[n], fits_NW[m]
        for w in range(0, whole, 4):
            a, b, c, d = asked_WE[w], asked_WE[w + 1], asked_WE[w + 2], asked_WE[w + 3]
            xa = xb = xc = xd = ya = yb = yc = yd = _f32(0)
            for j in range(E):
                xa, xb, xc, xd = xa + x[j] * a[j], xb + x[j] * b[j], xc + x[j] * c[j], xd + x[j] * d[j]
                ya, yb, yc, yd = ya + y[j] * a[j], yb + y[j] * b[j], yc + y[j] * c[j], yd + y[j] * d[j]
            x_fits[w], x_fits[w + 1], x_fits[w + 2], x_fits[w + 3] = xa, xb, xc, xd
            y_fits[w], y_fits[w + 1], y_fits[w + 2], y_fits[w + 3] = ya, yb, yc, yd
        for w in range(whole, W):
            a = asked_WE[w]
            xa = ya = _f32(0)
            for j in range(E):
                xa, ya = xa + x[j] * a[j], ya + y[j] * a[j]
            x_fits[w], y_fits[w] = xa, ya


@_loop
def _blend(out_VX, start, share_VW, rows_WX, column, E):
    """Add to rows, from column `start` on, E columns of others, from `column` on, each by its share: two by four."""
    V, W = share_VW.shape
    whole = W // 4 * 4
    for v in range(0, V - 1, 2):
        x, y = out_VX[v, start : start + E], out_VX[v + 1, start : start + E]
        for w in range(0, whole, 4):
            a, b = rows_WX[w, column : column + E], rows_WX[w + 1, column : column + E]
            c, d = rows_WX[w + 2, column : column + E], rows_WX[w + 3, column : column + E]
            xa, xb, xc, xd = share_VW[v, w], share_VW[v, w + 1], share_VW[v, w + 2], share_VW[v, w + 3]
            ya, yb, yc, yd = share_VW[v + 1, w], share_VW[v + 1, w + 1], share_VW[v + 1, w + 2], share_VW[v + 1, w + 3]
            for j in range(E):
                x[j] += xa * a[j] + xb * b[j] + xc * c[j] + xd * d[j]
                y[j] += ya * a[j] + yb * b[j] + yc * c[j] + yd * d[j]
        for w in range(whole, W):
            a, xa, ya = rows_WX[w, column : column + E], share_VW[v, w], share_VW[v + 1, w]
            for j in range(E):
                x[j] += xa * a[j]
                y[j] += ya * a[j]
    if V % 2:
        x = out_VX[V - 1, start : start + E]
        for w in range(W):
            a, xa = rows_WX[w, column : column + E], share_VW[V - 1, w]
            for j in range(E):
                x[j] += xa * a[j]


@_loop
def _softmax(scores):
    """In place; returns the logarithm of what it divides by."""
    a, total, whole = scores[0], _f32(0), len(scores) // 4 * 4
    b = c = d = a
    # What is no number need not be the top one to make the total none.
    for j in range(0, whole, 4):
        w, x, y, z = scores[j], scores[j + 1], scores[j + 2], scores[j + 3]
        a, b, c, d = w if w > a else a, x if x > b else b, y if y > c else c, z if z > d else d
    for j in range(whole, len(scores)):
        a = scores[j] if scores[j] > a else a
    top = max(max(a, b), max(c, d))
    for j in range(len(scores)):
        scores[j] = _exp(scores[j] - top)
        total += scores[j]
    share = _ONE / total
    for j in range(len(scores)):
        scores[j] *= share
    return top + np.log(total)


@_inline
def _near(w, front, reach):
    """The row, in a table of biases, of a word by its distance from the front."""
    return min(max(w - front, -reach), reach) + reach


@_loop
def attend(ends_B, length_B, front_N, states_BWE, near_D, both_NX, share_NW, attended_NE):
    """Attention of some utterances' actions to their words.

    Args:
        ends_B: where the actions of each utterance end, in a line that begins with the first one's.
        length_B: words of each.
        front_N: see `batch.Batch`.
        states_BWE: of the words.
        near_D: biases by distance from the front, from the most before it on.
        both_NX: the queries are its first columns.
        share_NW: gets the weights.
        attended_NE: gets the means.
    """
    E, reach, first = states_BWE.shape[2], len(near_D) // 2, 0
    for b in range(len(ends_B)):
        W, end = length_B[b], ends_B[b]
        states_WE = states_BWE[b, :W]
        _fit(both_NX, first, end, 0, states_WE, share_NW)
        for n in range(first, end):
            share = share_NW[n, :W]
            for w in range(W):
                share[w] += near_D[_near(w, front_N[n], reach)]
            _softmax(share)
            attended_NE[n, :] = 0
        _blend(attended_NE[first:end], 0, share_NW[first:end, :W], states_WE, 0, E)
        first = end


@_loop
def attend_back(
    ends_B, length_B, front_N, states_BWE, near_D, both_NX, share_NW, by_attended_NE, by_states_BWE, by_near_D
):
    """The way back: `by_...` get gradients added, and those of the queries take the queries' place.

    The weights are lost.
    """
    E, reach, first = states_BWE.shape[2], len(near_D) // 2, 0
    by_share_NW = np.empty(share_NW.shape, _f32)
    for b in range(len(ends_B)):
        W, end = length_B[b], ends_B[b]
        states_WE, by_states_WE, share_TW = states_BWE[b, :W], by_states_BWE[b, :W], share_NW[first:end, :W]
        _blend(by_states_WE, 0, share_TW.T, by_attended_NE[first:end], 0, E)
        _fit(by_attended_NE, first, end, 0, states_WE, by_share_NW)
        for n in range(first, end):
            share, by_share, mean = share_NW[n, :W], by_share_NW[n, :W], _f32(0)
            for w in range(W):
                mean += share[w] * by_share[w]
            for w in range(W):
                share[w] *= by_share[w] - mean
                by_near_D[_near(w, front_N[n], reach)] += share[w]
        _blend(by_states_WE, 0, share_TW.T, both_NX[first:end], 0, E)
        for n in range(first, end):
            both_NX[n, :E] = 0
        _blend(both_NX[first:end], 0, share_TW, states_WE, 0, E)
        first = end


@_loop
def judge(
    ends_B, length_B, front_N, states_BWE, near_D, scores_NX, S,
    labels_NL, word_N, red_N, bar, target_N, by_states_BWE, by_near_D,
):  # fmt: skip
    """The negative log-likelihood of the targets, summed, in nats; gradients take the place of what they are of.

    Args:
        ends_B, length_B, front_N, states_BWE, near_D: as in `attend`, `near_D` for copying.
        scores_NX, S: scores of S symbols, then what asks for the word to copy.
        labels_NL, word_N, red_N: what may come.
        bar: added to the score of what may not come.
        target_N: the gold action, as a symbol or S + the copied position.
        by_states_BWE, by_near_D: get gradients added.
    """
    E, reach, first, loss = states_BWE.shape[2], len(near_D) // 2, 0, 0.0
    L = labels_NL.shape[1]
    line_NX = np.empty((len(scores_NX), S + states_BWE.shape[1]), _f32)
    for b in range(len(ends_B)):
        W, end = length_B[b], ends_B[b]
        states_WE, by_states_WE = states_BWE[b, :W], by_states_BWE[b, :W]
        _fit(scores_NX, first, end, S, states_WE, line_NX[:, S:])
        for n in range(first, end):
            scores, line = scores_NX[n], line_NX[n, : S + W]
            copies, word = line[S:], _f32(0) if word_N[n] else bar
            line[0] = scores[0] + (_f32(0) if red_N[n] else bar)
            for j in range(L):
                line[1 + j] = scores[1 + j] + (_f32(0) if labels_NL[n, j] else bar)
            for j in range(1 + L, S):
                line[j] = scores[j] + word
            for w in range(W):
                copies[w] += near_D[_near(w, front_N[n], reach)] + word
            gold = line[target_N[n]]
            loss += _softmax(line) - gold
            line[target_N[n]] -= _ONE
            scores[:S] = line[:S]
            for w in range(W):
                by_near_D[_near(w, front_N[n], reach)] += copies[w]
        by_copies_TW = line_NX[first:end, S : S + W]
        _blend(by_states_WE, 0, by_copies_TW.T, scores_NX[first:end], S, E)
        for n in range(first, end):
            scores_NX[n, S : S + E] = 0
        _blend(scores_NX[first:end], S, by_copies_TW, states_WE, 0, E)
        first = end
    return loss
