"""Attention inside documents: FlexAttention's sparse blocks on a GPU, a dense mask anywhere.

A step's rows lie one after the other. A document's number is unique in the step and grows along it, so a block of
keys matters to a block of queries exactly where the ranges of their numbers meet and the keys are not later.
"""

from __future__ import annotations

import importlib
from typing import Any

from jackfield_plugins.demo.training.pytorch import Tensor, pytorch

__all__ = ["BLOCK", "block_masks", "dense_attention", "dense_masks", "flex_attention"]

BLOCK = 128


def dense_masks(owners: Tensor, row_length: int) -> tuple[Tensor]:
    """Return ``[R, 1, T, T]``: which key each query may see."""
    rows = owners.view(-1, row_length)
    causal = pytorch().ones(row_length, row_length, dtype=pytorch().bool, device=owners.device).tril()
    return ((rows[:, None, :, None] == rows[:, None, None, :]) & causal,)


def dense_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attend row by row under a mask of ``dense_masks``."""
    length, group = mask.shape[-1], q.shape[1] // k.shape[1]
    k, v = (part.repeat_interleave(group, dim=1) for part in (k, v))
    q, k, v = (part.unflatten(0, (-1, length)).transpose(1, 2) for part in (q, k, v))
    out = pytorch().nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(0, 1)


def block_masks(owners: Tensor, row_length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the documents, and for each block of queries how many blocks of keys it sees, and which."""
    torch = pytorch()
    blocks = owners.view(-1, BLOCK)
    first, last = blocks[:, 0], blocks[:, -1]
    order = torch.arange(blocks.shape[0], device=owners.device)
    sees = (order[None, :] <= order[:, None]) & (last[None, :] >= first[:, None])
    counts = sees.sum(-1, dtype=torch.int32)[None, None]
    indices = sees.to(torch.int8).argsort(dim=-1, descending=True, stable=True).to(torch.int32)[None, None]
    return owners, counts, indices


def flex_attention(
    q: Tensor, k: Tensor, v: Tensor, owners: Tensor, counts: Tensor, indices: Tensor
) -> Tensor:
    """Attend over the whole step as one sequence, by the blocks of ``block_masks``."""
    flex: Any = importlib.import_module("torch.nn.attention.flex_attention")

    def same_document(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (owners[query] == owners[key])

    mask = flex.BlockMask.from_kv_blocks(counts, indices, BLOCK_SIZE=BLOCK, mask_mod=same_document)
    q, k, v = (part.transpose(0, 1)[None].contiguous() for part in (q, k, v))
    out = flex.flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
    return out[0].transpose(0, 1)
