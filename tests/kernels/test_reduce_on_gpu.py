"""reduce on a GPU: upstream's grid against the reference, and float64."""

from __future__ import annotations

import math

import pytest
import torch
from test_reduce import DIMS, E4M3, SWIGLU, close, entries, expected, mask_of

from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce import reduce, reduce_torch

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.gpu
@GPU
@DIMS
@pytest.mark.parametrize("kind", ["none", "full", "0", "1", "2"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "mxfloat8", "flexfloat8"])
@pytest.mark.parametrize(
    "shape", [(311, 384, 384), (384, 311, 384), (384, 384, 311), (512, 512, 512), (4, 4, 4)]
)
def test_upstreams_grid_on_a_gpu(shape, dtype, kind, dim):
    x = entries(shape, torch.float32, dtype, kind, dim).cuda()
    mask = mask_of(kind, shape, dim)
    options = {"mask": None if mask is None else mask.cuda()}
    if dtype == "mxfloat8":
        n_blocks = math.ceil(shape[2] / 32)
        x = x.to(E4M3)
        options["x_mxscale"] = torch.randint(
            122, 128, (*shape[:2], n_blocks), dtype=torch.uint8, device="cuda"
        )
        if dim == 2:
            with pytest.raises(ValueError, match="dim: expected 0 or 1"):
                reduce(x, dim, **options)
            return
    elif dtype == "flexfloat8":
        x = x.to(E4M3)
        options["x_flex"] = InFlexData(E4M3, torch.tensor([1.25], device="cuda"))
        actual = torch.zeros(2, 1, device="cuda")
    else:
        x = x.to(getattr(torch, dtype))
    post = SWIGLU if shape == (512, 512, 512) and dtype != "mxfloat8" else None
    results = []
    for number, op in enumerate((reduce, reduce_torch)):
        if dtype == "flexfloat8":
            scale = torch.tensor([4.0], device="cuda")
            options["y_flex"] = OutFlexData(E4M3, scale, actual[number])
        results.append(op(x, dim, postprocess_fn1=post, **options))
    (y, scales), (reference, reference_scales) = results
    if dtype == "mxfloat8":
        # A sum in another order can round to the next power of two, or the next e4m3.
        assert (scales != reference_scales).float().mean() < 1e-3
        real, other = (
            q.float() * torch.exp2(s.float() - 127).repeat_interleave(32, 1)[:, : q.shape[1]]
            for q, s in results
        )
        torch.testing.assert_close(real, other, rtol=2**-3, atol=1e-3)
    elif dtype == "flexfloat8":
        torch.testing.assert_close(y.float(), reference.float(), rtol=2**-3, atol=1e-2)
        torch.testing.assert_close(actual[0], actual[1], rtol=1e-4, atol=0)
    else:
        torch.testing.assert_close(y, reference, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@GPU
@DIMS
def test_on_a_gpu_the_sums_are_those_of_float64(dim):
    x = entries((70, 33, 2880), torch.bfloat16, dim).cuda()
    mask = mask_of("01", x.shape).cuda()
    close(reduce(x, dim, mask=mask, y_dtype=torch.float32)[0], expected(x, dim, mask), 300)
