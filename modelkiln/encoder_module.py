"""The uncompiled encoder, with its pooling and normalisation, as one torch module that a backend can compile.

It reads the layout of sentence-transformers (modules.json, 1_Pooling/config.json, sentence_bert_config.json), whose
behaviour it restates; a plain transformers model is pooled by the mean and not normalised, as sentence-transformers
does. Runs on torch 1.13 with transformers 4.49 and on today's: only what both know is used here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import read_json

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens")

# Traced with these, of different lengths, so that the mask is a real one. Any text would do: nothing of it is kept.
EXAMPLE_TEXTS = (
    "The council approved the new tram line on Tuesday.",
    "Rain.",
    "Shares of the shipping company fell after it had warned that its profits would be lower than a year ago.",
    "Harvest begins",
)


@dataclass(frozen=True)
class Recipe:
    """How the source model turns token vectors into one vector."""

    pooling: str
    normalize: bool
    max_length: int | None  # tokens, special tokens included; None where the model does not say
    lower_case: bool


def read_recipe(source: Path) -> Recipe:
    """The recipe of an uncompiled model.

    Raises:
        ModelkilnError: it has a module that modelkiln does not compile, such as a dense layer.
    """
    modules = _optional_json(source / "modules.json") or [{"type": "models.Transformer", "path": ""}]
    pooling, normalize, unknown = "mean", False, []
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            pooling = _pooling(read_json(source / module["path"] / "config.json", "the pooling's config"))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            unknown.append(kind)
    if unknown:
        raise ModelkilnError(
            f"{source / 'modules.json'}: modelkiln can't compile the modules {unknown}; "
            "it knows Transformer, Pooling and Normalize"
        )
    settings = _optional_json(source / "sentence_bert_config.json") or {}
    return Recipe(pooling, normalize, settings.get("max_seq_length"), bool(settings.get("do_lower_case")))


def load_module(source: Path, recipe: Recipe) -> Any:
    """The torch module (input_ids, attention_mask) -> (vectors,) of an uncompiled model, in evaluation mode.

    input_ids and attention_mask are int64 of shape (n, t), vectors are float32 of shape (n, dimension).
    """
    import torch
    from transformers import AutoModel

    class EncoderModule(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        layout = "padded"

        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any]:
            tokens = self.model(input_ids, attention_mask, return_dict=False)[0]
            vectors = pool(tokens, attention_mask, recipe.pooling)
            if recipe.normalize:
                vectors = torch.nn.functional.normalize(vectors, p=2.0, dim=1)
            return (vectors,)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers warns of names that it uses itself
        model = AutoModel.from_pretrained(
            str(source),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager",
        )
    return EncoderModule(model.float().eval()).eval()


def load_tokenizer(source: Path, recipe: Recipe) -> Any:
    """The fast tokenizer that transformers uses for the model, as a `tokenizers.Tokenizer`, and its padding's id.

    Raises:
        ModelkilnError: the model has only a slow tokenizer, which nothing but transformers can run; or a newer
            transformers, or tokenizers, has saved it.
    """
    import transformers
    from tokenizers import normalizers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(source), local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except Exception as error:
        # A ValueError where transformers does not know its class; an Exception where tokenizers does not know a part.
        raise ModelkilnError(
            f"{source}: transformers {transformers.__version__} can't load its tokenizer ({one_line(error)}); save it "
            "with that version, or compile with the one that saved it"
        ) from error
    if not tokenizer.is_fast:
        raise ModelkilnError(f"{source}: its tokenizer has no fast version (no tokenizer.json); convert it first")
    backend = tokenizer.backend_tokenizer
    if recipe.lower_case:
        # As sentence-transformers does it: in the tokenizer, whose lower case is not quite Python's.
        own = [backend.normalizer] if backend.normalizer else []
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return backend, tokenizer.pad_token_id or 0


def padding_of_positions(model: Any) -> int | None:
    """The padding token, where a model's positions leave it out, also where a text has it written in it.

    RoBERTa and its kin count the other tokens from this id + 1 (create_position_ids_from_input_ids in transformers), so
    as many positions are never used. None: the positions are the indices of the tokens, as BERT's are.
    """
    embeddings: Any = getattr(model, "embeddings", None)
    # What all of them have, under transformers 4.49 as under today's, and no others.
    if not hasattr(embeddings, "create_position_ids_from_inputs_embeds"):
        return None
    found: int | None = embeddings.padding_idx
    return found


def pool(tokens: Any, attention_mask: Any, pooling: str) -> Any:
    """Token vectors (n, t, dimension), under a mask (n, t) of ones and zeros, to text vectors (n, dimension)."""
    import torch

    mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "max":
        return torch.max(tokens.masked_fill(mask == 0, -1e9), 1)[0]
    count = torch.clamp(mask.sum(1), min=1e-9)
    total = (tokens * mask).sum(1)
    return total / (count if pooling == "mean" else torch.sqrt(count))


def _pooling(config: dict[str, Any]) -> str:
    """Both of the ways in which sentence-transformers has written it down."""
    modes = [config["pooling_mode"]] if "pooling_mode" in config else _old_style(config)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ModelkilnError(f"can't compile the pooling {modes}; modelkiln knows one of {list(POOLINGS)}")
    return str(modes[0])


def _old_style(config: dict[str, Any]) -> list[str]:
    names = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean"}
    chosen = [key[len("pooling_mode_") :] for key, on in config.items() if key.startswith("pooling_mode_") and on]
    return [names.get(name, name) for name in chosen]


def _optional_json(path: Path) -> Any:
    return read_json(path, "the model's " + path.name) if path.exists() else None
