"""Bits in words: column `c` is bit `c % 32`, lowest first, of word `c // 32` of its row.

>>> words = pack_columns(torch.tensor([[0, 33, 33, -1]]), n_columns=40)
>>> words.view(torch.int32).tolist()
[[1, 2]]
>>> unpack_bits(words).nonzero().tolist()
[[0, 0], [0, 33]]
"""

from __future__ import annotations

import torch

__all__ = ["WORD_BITS", "clear_columns_from", "has_bit", "n_words", "pack_columns", "unpack_bits"]

WORD_BITS = 32


def n_words(n_columns: int) -> int:
    """Words that hold `n_columns` bits."""
    return -(-n_columns // WORD_BITS)


def _as_int32(words: torch.Tensor) -> torch.Tensor:
    """uint32 or int32 words as int32: torch has few operations on uint32, and shares the bits."""
    return words if words.dtype == torch.int32 else words.view(torch.int32)


def pack_columns(columns: torch.Tensor, n_columns: int) -> torch.Tensor:
    """Rows of column numbers to rows of bits: integers [n_rows, k] to uint32 [n_rows, n_words].

    Columns outside `0 <= c < n_columns` set no bit; a repeated column sets one.

    The words are stored column-major, the rows padded to a multiple of 32: strides
    `(1, roundup(n_rows, 32))`, so that a kernel counts the bits of 32 rows from one line.
    """
    n_rows = columns.shape[0]
    width = n_words(n_columns)
    beyond = width * WORD_BITS  # one column more, for what sets no bit
    inside = (columns >= 0) & (columns < n_columns)
    bits = torch.zeros(n_rows, beyond + 1, dtype=torch.bool, device=columns.device)
    # In int64: the column beyond may be one more than the dtype of the columns holds.
    bits.scatter_(1, torch.where(inside, columns.long(), beyond), True)
    weights = torch.ones(WORD_BITS, dtype=torch.int64, device=columns.device)
    weights = weights << torch.arange(WORD_BITS, device=columns.device)
    unsigned = (bits[:, :beyond].view(n_rows, width, WORD_BITS) * weights).sum(-1)
    # The upper half of the unsigned range is the negative half of the signed one.
    signed = torch.where(unsigned >= 1 << 31, unsigned - (1 << 32), unsigned).to(torch.int32)
    padded_rows = -(-n_rows // WORD_BITS) * WORD_BITS
    storage = torch.zeros(width, padded_rows, dtype=torch.int32, device=columns.device)
    words = storage.t()[:n_rows]
    words.copy_(signed)
    return words.view(torch.uint32)


def unpack_bits(words: torch.Tensor) -> torch.Tensor:
    """32-bit words [n_rows, n_words] of any strides to bool [n_rows, 32 * n_words]."""
    shifts = torch.arange(WORD_BITS, dtype=torch.int32, device=words.device)
    bits = (_as_int32(words).unsqueeze(-1) >> shifts) & 1
    return bits.bool().flatten(1)


def has_bit(words: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """bool [n_rows, k]: whether each column's bit is set in its row; False where there is none.

    words: [n_rows, n_words], one 32-bit word an element, of any integer dtype and strides.
    columns: integers [n_rows, k].
    """
    inside = (columns >= 0) & (columns < words.shape[1] * WORD_BITS)
    if words.shape[1] == 0:  # no word to look into
        return inside
    column = torch.where(inside, columns, 0).long()
    signed = _as_int32(words) if words.dtype == torch.uint32 else words
    word = signed.long().gather(1, column // WORD_BITS)
    return inside & ((word >> column % WORD_BITS) & 1).bool()


def clear_columns_from(words: torch.Tensor, column: int) -> None:
    """Clear, in place, the bits of `column` and of all behind it."""
    words = _as_int32(words)
    words[:, n_words(column) :] = 0
    word, bit = divmod(column, WORD_BITS)
    if bit:
        words[:, word] &= (1 << bit) - 1
