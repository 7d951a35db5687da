"""The Triton side of `triton_kernels.reduce`, and the plan of its launch."""

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)
