"""What must hold of any routing."""

import triton_kernels.routing as tkr


def is_consistent(
    rdata: "tkr.RoutingData", gather_indx: "tkr.GatherIndx", scatter_indx: "tkr.ScatterIndx"
) -> bool:
    """Whether both index objects are views of one permutation of the used slots."""
    if not isinstance(gather_indx, tkr.GatherIndx) or not isinstance(scatter_indx, tkr.ScatterIndx):
        return False
    combine, dispatch = gather_indx.src_indx, gather_indx.dst_indx
    used = combine[combine >= 0].long()
    return (
        used.numel() == int(rdata.expt_hist.sum())
        and bool((combine[dispatch[used].long()] == used).all())
        and bool((scatter_indx.src_indx == dispatch).all())
        and bool((scatter_indx.dst_indx == combine).all())
    )
