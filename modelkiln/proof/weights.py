"""Faults in the model itself: its weights, its layers, its recipe, its precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelkiln import backends
from modelkiln.bounds import STRICT
from modelkiln.encoder_module import Recipe
from modelkiln.proof.build import Change, altered, build, changed
from modelkiln.proof.fault import DoesNotApplyError, Fault, Good

SEED = 0
NOISE = 0.01  # of a matrix's own spread: what a little fine-tuning changes
SCALE = 1.01
QUERIES = ("query", "q_lin", "q_proj", "q")  # what transformers calls the linear layer of the attention's queries


def _layers(model: Any) -> Any:
    """The list of the model's layers."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) > 1:
            return module
    raise DoesNotApplyError("the model has no list of two layers or more")


def _matrix(model: Any) -> Any:
    """The largest linear layer in the middle of the model."""
    import torch

    layers = _layers(model)
    linears = [each for each in layers[len(layers) // 2].modules() if isinstance(each, torch.nn.Linear)]
    return max(linears, key=lambda each: each.out_features)


def _named(model: Any, names: tuple[str, ...]) -> Any:
    """The first sub-module with one of these names."""
    for path, module in model.named_modules():
        if path.rpartition(".")[2] in names:
            return module
    raise DoesNotApplyError(f"the model has no {' or '.join(names)}")


def _swap_rows(model: Any) -> None:
    weight = _matrix(model).weight
    largest = weight.norm(dim=1).topk(2).indices
    weight[largest] = weight[largest.flip(0)]


def _permute_rows(model: Any) -> None:
    weight = _matrix(model).weight
    weight.copy_(weight.flip(0))


def _skip_layer(model: Any) -> None:
    layers = _layers(model)
    del layers[len(layers) // 2]


def _repeat_layer(model: Any) -> None:
    layers = _layers(model)
    layers.insert(len(layers) // 2, copy.deepcopy(layers[len(layers) // 2]))


def _scale_weights(model: Any) -> None:
    _matrix(model).weight.mul_(SCALE)


def _leave_out_bias(model: Any) -> None:
    import torch

    biases = [each.bias for each in model.modules() if isinstance(each, torch.nn.Linear) and each.bias is not None]
    largest = max(biases, key=lambda bias: float(bias.norm()), default=None)
    if largest is None or not largest.any():
        raise DoesNotApplyError("the model's biases are all zero")
    largest.zero_()


def _other_token_type(model: Any) -> None:
    weight = _named(model, ("token_type_embeddings",)).weight
    if len(weight) < 2:
        raise DoesNotApplyError("the model has only one token type")
    weight.copy_(weight.roll(1, 0))


def _shift_positions(model: Any) -> None:
    weight = _named(model, ("position_embeddings",)).weight
    weight.copy_(weight.roll(-1, 0))


def _leave_out_scale(model: Any) -> None:
    """Queries that are larger by what the attention divides by."""
    width = model.config.hidden_size // model.config.num_attention_heads
    for path, module in model.named_modules():
        if path.rpartition(".")[2] in QUERIES:
            module.weight.mul_(width**0.5)
            module.bias.mul_(width**0.5)


def _approximate_gelu(model: Any) -> None:
    import torch
    from transformers.activations import GELUActivation

    found = False
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, (GELUActivation, torch.nn.GELU)):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))
                found = True
    if not found:
        raise DoesNotApplyError("the model's activation is not GELU")


def _rounded_to(kind: str) -> Callable[[Good, Path], None]:
    """Every weight as fp16 or bf16 would hold it."""

    def alter(model: Any) -> None:
        import torch

        for weight in model.parameters():
            weight.copy_(weight.to(getattr(torch, kind)))

    return altered(alter, least=STRICT.atol)


def _round_to_8_bits(model: Any) -> None:
    """Every matrix in whole numbers from -127 to 127, with a scale for each of its rows."""
    for weight in model.parameters():
        if weight.dim() == 2:
            scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            weight.copy_((weight / scale).round() * scale)


def _before_fine_tuning(model: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(SEED)
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.add_(torch.randn(weight.shape, generator=generator) * weight.std() * NOISE)


def _other_pooling(recipe: Recipe) -> Recipe:
    return replace(recipe, pooling="mean" if recipe.pooling == "cls" else "cls")


def _no_normalisation(recipe: Recipe) -> Recipe:
    if not recipe.normalize:
        raise DoesNotApplyError("the model does not normalise its vectors")
    return replace(recipe, normalize=False)


def _make_int8(good: Good, folder: Path) -> None:
    """In the backend's own int8 where it has one."""
    own = "int8" in backends.load(good.manifest.backend).PRECISIONS
    if good.manifest.precision == "int8":
        raise DoesNotApplyError("the artifact is int8")
    build(good, folder, Change(precision="int8") if own else Change(model=_round_to_8_bits))


# Twice: what is just off on the examples may be within the bound on other texts, and is no fault then.
SLIGHT_GELU = altered(_approximate_gelu, least=2 * STRICT.atol)
EVERYWHERE = ("hostile", "keywords", "neighbours", "quality")  # areas that can't overlook what is grossly wrong
FAULTS = (
    Fault("rows-swapped", "two rows of one weight matrix swapped", ("vectors",), altered(_swap_rows)),
    Fault("rows-permuted", "the rows of one weight matrix in another order", ("vectors",), altered(_permute_rows)),
    Fault("layer-skipped", "one layer skipped", ("vectors",), altered(_skip_layer), also=EVERYWHERE),
    Fault("layer-repeated", "one layer applied twice", ("vectors",), altered(_repeat_layer)),
    Fault("weights-scaled", "one weight matrix larger by 1%", ("vectors",), altered(_scale_weights)),
    Fault("bias-left-out", "one bias left out", ("vectors",), altered(_leave_out_bias)),
    Fault("other-pooling", "CLS instead of mean pooling", ("vectors",), changed(Change(recipe=_other_pooling))),
    Fault("not-normalised", "normalisation left out", ("vectors",), changed(Change(recipe=_no_normalisation))),
    Fault("other-token-type", "token_type_ids wrong: 1 for 0", ("vectors",), altered(_other_token_type)),
    Fault("positions-shifted", "position ids too large by one", ("vectors",), altered(_shift_positions)),
    Fault("attention-unscaled", "the attention's scale left out", ("vectors",), altered(_leave_out_scale)),
    Fault(
        "gelu-approximated",
        "GELU by its tanh approximation",
        ("vectors",),
        SLIGHT_GELU,
    ),
    Fault("int8-as-fp32", "weights in int8, called fp32", ("vectors",), _make_int8),
    Fault(
        "bf16-as-fp32",
        "weights rounded to bf16, called fp32",
        ("vectors",),
        _rounded_to("bfloat16"),
    ),
    Fault(
        "fp16-as-fp32",
        "weights rounded to fp16, called fp32",
        ("vectors",),
        _rounded_to("float16"),
    ),
    Fault("stale-graph", "a graph from before a bit of fine-tuning", ("vectors",), altered(_before_fine_tuning)),
)
