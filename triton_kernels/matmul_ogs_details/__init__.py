"""The parts of which `triton_kernels.matmul_ogs` is made."""

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)
