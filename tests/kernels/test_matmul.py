"""Values of `matmul_ogs`, in every mode, against sums in float64.

Small cases through the public op alone, so that they can be computed by the kernels, too.
"""

from __future__ import annotations

import itertools
import random
from typing import Any, NamedTuple

import matmul_oracle as moracle
import oracle
import pytest
import torch
from matmul_oracle import Routing, assert_rows, in_layout, random_tensor, vector

from triton_kernels.matmul_ogs import (
    Epilogue,
    FlexCtx,
    FusedActivation,
    InFlexData,
    InnerRoutingData,
    OutFlexData,
    PrecisionConfig,
    RoutingData,
    matmul_ogs,
    matmul_ogs_torch,
    opt_flags_constraints,
    reduce_grouped,
)
from triton_kernels.tensor import (
    RaggedTensorMetadata,
    make_ragged_tensor_metadata,
    remap_ragged_tensor_metadata,
    wrap_torch_tensor,
)

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


# --- every mode, with everything that is fused with it


class Case(NamedTuple):
    """A call of the op.  `FACTORS` has what each field can be."""

    rows: str
    dtype: torch.dtype
    x_layout: str
    w_layout: str
    bias: str
    gammas: torch.dtype | None
    alpha: float | None
    activation: str
    out_dtype: torch.dtype | None
    y: str
    flags: tuple[tuple[str, int], ...]


FACTORS: dict[str, list[Any]] = {
    "rows": [
        *("plain", "plain gather", "plain scatter", "plain both", "batched"),
        *("ragged", "ragged gather", "ragged scatter", "ragged both", "ragged both 1"),
    ],
    "dtype": [F32, BF16, F16, E5M2, E4M3],
    "x_layout": ["rows", "columns", "steps"],
    "w_layout": ["rows", "columns", "steps"],
    "bias": ["none", "alone", "with betas"],
    "gammas": [None, F32, BF16],
    "alpha": [None, -0.5],
    "activation": ["none", "leaky", "gated"],
    "out_dtype": [None, F32, BF16],
    "y": ["none", "rows", "columns", "steps"],
    # For the kernels: the reference has no tiles.
    "flags": [(), (("block_m", 16),), (("block_m", 32), ("split_k", 3)), (("split_k", 2),)],
}


def every_pair() -> list[Case]:
    """Cases among which any two values of any two factors meet, chosen greedily."""
    source = random.Random(1)
    names = list(FACTORS)
    missing = {
        ((a, u), (b, v))
        for a, b in itertools.combinations(names, 2)
        for u in range(len(FACTORS[a]))
        for v in range(len(FACTORS[b]))
    }
    cases = []
    while missing:
        candidates = []
        for _ in range(60):
            (a, u), (b, v) = source.choice(sorted(missing))
            chosen = {name: source.randrange(len(FACTORS[name])) for name in names}
            chosen |= {a: u, b: v}
            met = set(itertools.combinations(chosen.items(), 2)) & missing
            candidates.append((len(met), sorted(chosen.items()), met, chosen))
        _, _, met, chosen = max(candidates, key=lambda candidate: candidate[:2])
        missing -= met
        cases.append(Case(**{name: FACTORS[name][chosen[name]] for name in names}))
    return cases


def name_of(case: Case) -> str:
    return "-".join(str(value).replace("torch.", "") for value in case)


CASES = every_pair()


def test_the_cases_are_few_and_each_is_another() -> None:
    assert len(set(CASES)) == len(CASES) <= 80


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_rows_are_what_float64_says(case: Case) -> None:
    source, generator = oracle.fresh(case)
    n_experts, inner_size, n_columns = 4, 40, 36
    mode, _, indices = case.rows.partition(" ")
    k = 1 if indices == "both 1" else 3
    routing = Routing.at_random(source, 11, n_experts, k)
    n_batches = n_experts if mode == "batched" else 1
    gathers = indices.startswith(("gather", "both"))
    scatters = indices.startswith(("scatter", "both"))
    n_rows = 13 if mode == "batched" else routing.n_rows
    n_matrices = 1 if mode == "plain" else n_experts

    def make(shape: tuple[int, ...], dtype: torch.dtype, layout: str = "rows") -> torch.Tensor:
        return random_tensor(generator, shape, dtype, layout)

    x = make((n_batches, 11 if gathers else n_rows, inner_size), case.dtype, case.x_layout)
    w = make((n_matrices, inner_size, n_columns), case.dtype, case.w_layout)
    bias = betas = gammas = None
    if case.bias != "none":
        bias = make((n_matrices, n_columns), BF16 if case.y == "none" else F32, case.w_layout)
    if case.bias == "with betas":
        betas = make((n_rows,), F32)
    if case.gammas is not None:
        gammas = make((n_rows,), case.gammas)
    activation, activate, reduction_n = None, lambda row: row, 1
    if case.activation == "leaky":
        activation = FusedActivation(moracle.LEAKY, (0.25,))
        activate = lambda row: moracle.leaky_row(row, 0.25)  # noqa: E731
    elif case.activation == "gated":
        activation, reduction_n = FusedActivation(moracle.GATED, (0.75,)), 2
        activate = lambda row: moracle.gated_row(row, 0.75)  # noqa: E731

    want, magnitude = [], []
    for z in range(n_batches):
        rows = []
        for i in range(n_rows):
            matrix = {"plain": 0, "batched": z, "ragged": routing.expert_of_row[i]}[mode]
            if gathers:
                slot = routing.slot_of_row[i]
                of_x = x[z, slot // k] if slot >= 0 else None
            else:
                of_x = x[z, i]
            rows.append(
                moracle.product_row(
                    of_x,
                    w[matrix],
                    None if bias is None else bias[matrix],
                    beta=1.0 if betas is None else betas[i].item(),
                    alpha=1.0 if case.alpha is None else case.alpha,
                    gamma=1.0 if gammas is None else gammas[i].item(),
                    activation=activate,
                )
            )
        terms = [row.abs() for row in rows]
        if scatters:
            rows, terms = moracle.sum_of_choices(rows, routing)
        want.append(torch.stack(rows))
        magnitude.append(torch.stack(terms))

    out_dtype = case.out_dtype or case.dtype
    y = None
    if case.y != "none":
        y = in_layout(
            torch.full((n_batches, len(want[0]), n_columns // reduction_n), torch.nan).to(
                out_dtype
            ),
            case.y,
        )
    is_flat = mode != "batched"
    with opt_flags_constraints(**dict(case.flags)):
        got = matmul_ogs(
            x[0] if is_flat else x,
            w[0] if mode == "plain" else w,
            bias if bias is None or mode != "plain" else bias[0],
            None if mode == "batched" else routing.data(ragged=mode == "ragged"),
            routing.gather() if gathers else None,
            routing.scatter() if scatters else None,
            PrecisionConfig(allow_tf32=False, out_dtype=case.out_dtype),
            betas,
            gammas,
            case.alpha,
            y if y is None or not is_flat else y[0],
            fused_activation=activation,
        )
    assert got.dtype == out_dtype
    if y is not None:
        assert got.data_ptr() == y.data_ptr() and got.stride() == y.stride()[-got.ndim :]
    if mode == "ragged" and not scatters:  # the tail belongs to no expert
        used = sum(routing.sizes)
        got, want, magnitude = got[:used], [want[0][:used]], [magnitude[0][:used]]
    assert_rows(
        got if got.ndim == 3 else got.unsqueeze(0), torch.stack(want), torch.stack(magnitude)
    )


@pytest.mark.parametrize("out_dtype", [None, F32])
def test_gamma_comes_after_the_activation_however_the_sum_is_split(out_dtype: Any) -> None:
    _, generator = oracle.fresh(out_dtype)
    x = random_tensor(generator, (9, 64), BF16)
    w = random_tensor(generator, (64, 16), BF16)
    gammas = -torch.rand(9, generator=generator) - 1
    want = torch.stack(
        [
            moracle.product_row(x[i], w, gamma=g, activation=lambda r: moracle.leaky_row(r, 0.1))
            for i, g in enumerate(gammas.tolist())
        ]
    )
    activation = FusedActivation(moracle.LEAKY, (0.1,))
    for split_k in (1, 2, 4):
        with opt_flags_constraints(split_k=split_k):
            got = matmul_ogs(
                x,
                w,
                None,
                precision_config=PrecisionConfig(out_dtype=out_dtype),
                gammas=gammas,
                fused_activation=activation,
            )
        assert_rows(got, want)


@pytest.mark.parametrize("split_k", [1, 3])
def test_the_bias_is_added_once(split_k: int) -> None:
    bias = torch.arange(1.0, 17.0)
    with opt_flags_constraints(split_k=split_k):
        got = matmul_ogs(torch.zeros(5, 96), torch.zeros(96, 16), bias)
    assert torch.equal(got, bias.expand(5, 16))


def test_the_epilogue_comes_last() -> None:
    _, generator = oracle.fresh()
    x, w = random_tensor(generator, (6, 32), F16), random_tensor(generator, (32, 16), F16)
    scale = torch.tensor([0.5])
    flex = FlexCtx(out_data=OutFlexData(expected_scale=scale))
    got = matmul_ogs(
        x,
        w,
        None,
        precision_config=PrecisionConfig(flex_ctx=flex),
        fused_activation=FusedActivation(moracle.LEAKY, (0.5,)),
        epilogue=Epilogue(moracle.SHIFTED, (100.0,), (100.0,)),
    )
    rows = [moracle.product_row(r, w, activation=lambda v: moracle.leaky_row(v, 0.5)) for r in x]
    assert_rows(got, torch.stack(rows) / 0.5 + 100.0)


# --- experts


def test_experts_without_rows_and_slots_without_experts() -> None:
    _, generator = oracle.fresh()
    routing = Routing([[2, -1], [-1, -1], [2, 4], [-1, 2]], n_experts=6)
    x = random_tensor(generator, (4, 24), F32)
    w = random_tensor(generator, (6, 24, 20), F32)
    bias = random_tensor(generator, (6, 20), F32)
    got = matmul_ogs(x, w, bias, routing.data(), routing.gather(), routing.scatter())
    row = lambda t, e: moracle.product_row(x[t], w[e], bias[e])  # noqa: E731
    want = torch.stack([row(0, 2), torch.zeros(20), row(2, 2) + row(2, 4), row(3, 2)])
    assert_rows(got, want, want.abs() + 1)
    assert (got[1] == 0).all()


def test_vectors_may_have_gaps() -> None:
    source, generator = oracle.fresh()
    routing = Routing.at_random(source, 9, 4, 2)
    x, w = random_tensor(generator, (9, 16), F32), random_tensor(generator, (4, 16, 8), F32)
    gather, scatter, gammas = routing.gather(), routing.scatter(), torch.rand(routing.n_rows)
    want = matmul_ogs(x, w, None, routing.data(), gather, scatter, gammas=gammas)

    def gapped(values: torch.Tensor) -> torch.Tensor:
        return torch.stack([values, torch.full_like(values, 1)], dim=1)[:, 0]

    gather.src_indx = gapped(gather.src_indx)
    scatter.src_indx, scatter.dst_indx = gapped(scatter.src_indx), gapped(scatter.dst_indx)
    got = matmul_ogs(x, w, None, routing.data(), gather, scatter, gammas=gapped(gammas))
    assert torch.equal(got, want)


def test_all_rows_on_one_expert_and_one_row_on_each() -> None:
    _, generator = oracle.fresh()
    w = random_tensor(generator, (5, 16, 32), F16)
    for chosen in ([[3]] * 40, [[e] for e in (4, 2, 0, 1, 3)]):
        routing = Routing(chosen, n_experts=5)
        x = random_tensor(generator, (len(chosen), 16), F16)
        got = matmul_ogs(x, w, None, routing.data(), routing.gather(), routing.scatter())
        want = [moracle.product_row(x[t], w[e]) for t, (e,) in enumerate(chosen)]
        assert_rows(got, torch.stack(want))


def test_rows_of_no_expert_are_not_written() -> None:
    _, generator = oracle.fresh()
    metadata = make_ragged_tensor_metadata(vector([2, 0, 3]), 9)
    data = RoutingData(torch.zeros(9), metadata.batch_sizes, 3, 1, metadata)
    x = random_tensor(generator, (9, 16), F32)
    x[5:] = torch.nan
    w = random_tensor(generator, (3, 16, 8), F32)
    y = torch.full((9, 8), 7.0)
    got = matmul_ogs(x, w, None, data, y=y)
    want = [moracle.product_row(x[i], w[e]) for i, e in enumerate([0, 0, 2, 2, 2])]
    assert_rows(got[:5], torch.stack(want))
    assert (got[5:] == 7).all()


def test_a_rank_computes_the_rows_of_its_own_experts() -> None:
    """Remapped metadata: local numbers, offsets into all rows, and as many matrices as are left."""
    _, generator = oracle.fresh()
    whole = make_ragged_tensor_metadata(vector([3, 4, 0, 5]), 12)
    local = remap_ragged_tensor_metadata(whole, vector([-1, 0, -1, 1]))
    data = RoutingData(torch.zeros(12), local.batch_sizes, 2, 1, local)
    x = random_tensor(generator, (12, 16), F32)
    w = random_tensor(generator, (2, 16, 8), F32)
    y = torch.full((12, 8), 7.0)
    got = matmul_ogs(x, w, None, data, y=y)
    owner = [None] * 3 + [0] * 4 + [1] * 5
    for i, e in enumerate(owner):
        if e is None:
            assert (got[i] == 7).all()
        else:
            assert_rows(got[i], moracle.product_row(x[i], w[e]))


def test_operands_can_be_tensors_of_the_library() -> None:
    _, generator = oracle.fresh()
    x, w = random_tensor(generator, (7, 16), F16), random_tensor(generator, (16, 8), F16)
    got = matmul_ogs(wrap_torch_tensor(x), wrap_torch_tensor(w), None)
    assert torch.equal(got, matmul_ogs(x, w, None))


@pytest.mark.parametrize("stored", [torch.uint8, torch.int8])
def test_bytes_are_read_as_the_flex_data_says(stored: torch.dtype) -> None:
    _, generator = oracle.fresh()
    x, w = random_tensor(generator, (7, 32), E4M3), random_tensor(generator, (32, 16), E5M2)
    flex = FlexCtx(InFlexData(E4M3), InFlexData(E5M2), OutFlexData(E5M2))
    config = PrecisionConfig(flex_ctx=flex, out_dtype=stored)
    y = torch.zeros(7, 16, dtype=stored)
    got = matmul_ogs(x.view(stored), w.view(stored), None, precision_config=config, y=y)
    assert got.dtype == E5M2 and got.data_ptr() == y.data_ptr()
    assert_rows(got, torch.stack([moracle.product_row(row, w) for row in x]))


# --- nothing


@pytest.mark.parametrize("mode", ["plain", "batched", "ragged"])
@pytest.mark.parametrize("empty", ["m", "n", "k", "m and k", "b"])
def test_sizes_of_zero(mode: str, empty: str) -> None:
    n_rows, n_columns, inner_size = (
        0 if "m" in empty else 6,
        0 if "n" in empty.split() else 8,
        0 if "k" in empty else 16,
    )
    n_batches = 0 if empty == "b" else 3
    w = torch.ones(n_batches, inner_size, n_columns)
    bias = torch.arange(float(n_batches * n_columns)).view(n_batches, n_columns)
    if mode == "plain":
        if empty == "b":
            return
        got = matmul_ogs(torch.ones(n_rows, inner_size), w[0], bias[0])
        want = (inner_size + bias[0]).expand(n_rows, n_columns)
    elif mode == "batched":
        got = matmul_ogs(torch.ones(n_batches, n_rows, inner_size), w, bias)
        want = (inner_size + bias)[:, None].expand(n_batches, n_rows, n_columns)
    else:
        if empty == "b":
            n_rows = 0
        sizes = [n_rows // 3 * i for i in range(n_batches)]
        metadata = make_ragged_tensor_metadata(vector(sizes), n_rows)
        data = RoutingData(torch.zeros(n_rows), metadata.batch_sizes, n_batches, 1, metadata)
        got = matmul_ogs(torch.ones(n_rows, inner_size), w, bias, data)
        experts = [e for e, size in enumerate(sizes) for _ in range(size)]
        want = inner_size + bias[experts]
    assert torch.equal(got, want)


def test_no_tokens_and_no_choices_left() -> None:
    none = Routing([[-1, -1]] * 3, n_experts=2)
    w, bias = torch.ones(2, 4, 8), torch.ones(2, 8)
    got = matmul_ogs(torch.ones(3, 4), w, bias, none.data(), none.gather(), none.scatter())
    assert torch.equal(got, torch.zeros(3, 8))
    data = RoutingData(torch.zeros(0), none.data().expt_hist, 2, 2)
    data.expt_data = make_ragged_tensor_metadata(vector([0, 0]), 0)
    scatter = none.scatter()
    scatter.dst_indx = scatter.dst_indx[:0]
    got = matmul_ogs(torch.ones(0, 4), w, bias, data, None, scatter)
    assert torch.equal(got, torch.zeros(3, 8))


# --- what is added to the result


@pytest.mark.parametrize("mode", ["plain", "batched", "ragged", "inner"])
@pytest.mark.parametrize("where", ["apart", "apart, no y", "is y"])
def test_y_acc_in_is_added_to_what_is_activated(mode: str, where: str) -> None:
    source, generator = oracle.fresh(mode, where)
    shape = (3, 7, 24) if mode in ("batched", "inner") else (7, 24)
    acc = random_tensor(generator, shape, BF16 if where == "apart, no y" else F32, "columns")
    before = acc.double().clone()
    y = {"apart": torch.full(shape, torch.nan), "apart, no y": None, "is y": acc}[where]
    config = PrecisionConfig(flex_ctx=FlexCtx(acc_data=InFlexData(scale=torch.tensor([0.5]))))
    common = {"precision_config": config, "y": y, "y_acc_in": acc}
    if mode == "inner":
        metadata = make_ragged_tensor_metadata(vector([16, 0, 32]), 48)
        data = InnerRoutingData(RoutingData(None, None, 3, 1, metadata), 16, True, False)  # type: ignore[arg-type]
        x, w = random_tensor(generator, (7, 48), F32), random_tensor(generator, (64, 24), F32)
        w[48:] = 0
        got = matmul_ogs(x, w, None, inner_routing_data=data, **common)
        parts = [slice(0, 16), slice(0, 0), slice(16, 48)]
        want = torch.stack([x.double()[:, part] @ w.double()[part] for part in parts])
    else:
        n_matrices = 1 if mode == "plain" else 3
        x = random_tensor(generator, (*shape[:-1], 16), F32)
        w = random_tensor(generator, (n_matrices, 16, 24), F32)
        routing = Routing.at_random(source, 7, 3, 1, unused=0)
        matrix_of = routing.expert_of_row if mode == "ragged" else [0] * 7
        got = matmul_ogs(
            x,
            w[0] if mode == "plain" else w,
            None,
            routing.data() if mode == "ragged" else None,
            fused_activation=FusedActivation(moracle.LEAKY, (0.5,)),
            **common,
        )
        want = torch.stack(
            [
                torch.stack(
                    [
                        moracle.product_row(
                            x.view(-1, 7, 16)[z, i],
                            w[z if mode == "batched" else matrix_of[i]],
                            activation=lambda row: moracle.leaky_row(row, 0.5),
                        )
                        for i in range(7)
                    ]
                )
                for z in range(3 if mode == "batched" else 1)
            ]
        ).view(shape)
    assert_rows(got, want + 0.5 * before, want.abs() + before.abs())


# --- inner-ragged


@pytest.mark.parametrize("padded", ["x", "w", "x and w"])
@pytest.mark.parametrize("sizes", [[5, 0, 33, 16], [16, 32, 1, 0]])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_groups_of_columns_meet_their_groups_of_rows(
    padded: str, sizes: list[int], layout: str
) -> None:
    _, generator = oracle.fresh(padded, sizes, layout)
    block_k, n_rows, n_columns = 16, 12, 20
    groups = [
        (
            random_tensor(generator, (n_rows, size), BF16),
            random_tensor(generator, (size, n_columns), BF16),
        )
        for size in sizes
    ]

    def side_by_side(parts: list[torch.Tensor], dim: int, is_padded: bool) -> torch.Tensor:
        """The parts; after each zeros to a multiple of block_k if padded; then NaN."""
        other = parts[0].shape[1 - dim]

        def filled(size: int, value: float) -> torch.Tensor:
            shape = (other, size) if dim == 1 else (size, other)
            return torch.full(shape, value, dtype=BF16)

        pieces = []
        for part in parts:
            pieces.append(part)
            if is_padded:
                pieces.append(filled(-part.shape[dim] % block_k, 0))
        if not is_padded:  # what may be read, and must only be finite
            pieces.append(filled(block_k, 1))
        return torch.cat([*pieces, filled(2 * block_k, torch.nan)], dim)

    x = in_layout(side_by_side([a for a, _ in groups], 1, "x" in padded), layout)
    w = in_layout(side_by_side([b for _, b in groups], 0, "w" in padded), layout)
    metadata = make_ragged_tensor_metadata(vector(sizes), sum(sizes))
    base = RoutingData(torch.zeros(0), metadata.batch_sizes, len(sizes), 1, metadata)
    data = InnerRoutingData(base, block_k, "x" in padded, "w" in padded)
    gammas = random_tensor(generator, (n_rows,), F32)
    got = matmul_ogs(x, w, None, gammas=gammas, inner_routing_data=data)
    want = torch.stack([gammas.double()[:, None] * (a.double() @ b.double()) for a, b in groups])
    assert_rows(got, want)
    plain = matmul_ogs_torch(x, w, None, gammas=gammas, inner_routing_data=data)
    assert plain.dtype == F32
    assert_rows(plain, want)


# --- the reference


def test_matmul_ogs_torch_rounds_as_it_is_told_and_nothing_else() -> None:
    source, generator = oracle.fresh()
    routing = Routing.at_random(source, 9, 4, 2)
    x = random_tensor(generator, (9, 16), F16)
    w = random_tensor(generator, (4, 16, 8), F16)
    seen: list[int] = []

    def round_x(rows: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        seen.extend(position.tolist())
        return rows + (position % 3)[:, None].to(rows.dtype)

    got = matmul_ogs_torch(
        x,
        w,
        None,
        routing.data(),
        routing.gather(),
        routing.scatter(),
        round_x=round_x,
        round_y=lambda rows: rows.round(),
    )
    used = sum(routing.sizes)
    assert sorted(seen) == list(range(used))
    rows = [
        moracle.product_row(x[slot // 2] + i % 3, w[e]).round()
        for i, (slot, e) in enumerate(
            zip(routing.slot_of_row[:used], routing.expert_of_row, strict=False)
        )
    ]
    rows += [torch.zeros(8, dtype=torch.float64)] * (routing.n_rows - used)
    want, _ = moracle.sum_of_choices(rows, routing)
    assert got.dtype == F32
    # Rounded sums: equal, unless one lies within 1e-5 of a half, which none of these does.
    assert torch.equal(got.double(), torch.stack(want))


def test_matmul_ogs_torch_has_gradients() -> None:
    source, generator = oracle.fresh()
    routing = Routing.at_random(source, 5, 3, 2)
    x = random_tensor(generator, (5, 8), F32).requires_grad_()
    w = random_tensor(generator, (3, 8, 4), F32).requires_grad_()
    arguments = (x, w, None, routing.data(), routing.gather(), routing.scatter())
    matmul_ogs_torch(*arguments).sum().backward()
    want = torch.zeros(5, 8, dtype=torch.float64)
    for token, experts in enumerate(routing.chosen):
        for e in experts:
            if e >= 0:
                want[token] += w[e].detach().double().sum(1)
    assert_rows(x.grad, want, want.abs() + 1)


# --- reduce_grouped


@pytest.mark.parametrize("n_splits", [1, 3])
@pytest.mark.parametrize("dtype", [F32, BF16])
def test_reduce_grouped_adds_up_what_it_activates(n_splits: int, dtype: torch.dtype) -> None:
    _, generator = oracle.fresh(n_splits, dtype)
    x = random_tensor(generator, (n_splits, 1, 6, 8), dtype)
    indx = vector([3, -1, -1, -1, 0, 5]).view(3, 2)
    out = torch.full((3, 4), torch.nan, dtype=dtype)
    got, scale = reduce_grouped(
        x, indx, out, None, FusedActivation(moracle.GATED, (0.5,)), Epilogue()
    )
    rows = [moracle.gated_row(x.double().sum(0)[0, i], 0.5) for i in range(6)]
    want = torch.stack([rows[3], torch.zeros(4), rows[0] + rows[5]])
    magnitude = torch.stack([rows[3].abs(), torch.zeros(4), rows[0].abs() + rows[5].abs()])
    assert scale is None
    assert got.data_ptr() == out.data_ptr()
    assert_rows(out, want, magnitude)


def test_reduce_grouped_returns_one_split_as_it_is() -> None:
    x = torch.zeros(1, 2, 6, 8)
    got, scale = reduce_grouped(x, None, None, None, FusedActivation(), Epilogue())
    assert got.data_ptr() == x.data_ptr() and got.shape == (2, 6, 8) and scale is None


def test_block_sizes_of_the_cases_are_in_the_schedule() -> None:
    sizes = {dict(flags).get("block_m", 16) for flags in FACTORS["flags"]}
    assert sizes <= set(RaggedTensorMetadata.block_sizes())
