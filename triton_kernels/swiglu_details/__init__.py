"""The Triton side of `triton_kernels.swiglu`, and the plan of its launches."""

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)
