"""A tiny sentence encoder with random weights and a tokenizer of its own, in the layout of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelkiln.golden import read_samples

DIMENSION = 32
# Their tokens are BERT's, with [PAD] as 0; all others have RoBERTa's, with <pad> as 1.
LIKE_BERT = ("bert", "distilbert", "electra")


def build_tiny_model(
    folder: Path, seed: int = 0, pooling: str = "mean", normalize: bool = True, kind: str = "bert", tokens: int = 0
) -> Path:
    """Writes the model into `folder`, in safetensors, and returns it. The same seed gives the same model.

    `tokens` that the tokenizer does not know make it as large as you like: 128 bytes each.
    """
    import torch
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    tokenizer, special = _train_bert_s() if kind in LIKE_BERT else _train_roberta_s(kind)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        vocab_size=max(tokens, tokenizer.get_vocab_size()),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.6,  # of the usual size all vectors would be nearly the same
    )
    AutoModel.from_config(config).eval().save_pretrained(folder, safe_serialization=True)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normalize else [])
    _write(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    modes = {f"pooling_mode_{mode}": mode == f"{pooling}_tokens" for mode in ("mean_tokens", "max_tokens")}
    modes["pooling_mode_cls_token"] = pooling == "cls"
    modes["pooling_mode_mean_sqrt_len_tokens"] = pooling == "mean_sqrt_len"
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": DIMENSION, **modes})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": False})
    (folder / "2_Normalize").mkdir(exist_ok=True)
    return folder


def _train_bert_s() -> tuple[Any, dict[str, Any]]:
    """A tokenizer that adds no token, and its special ones by name."""
    from tokenizers import BertWordPieceTokenizer

    words = BertWordPieceTokenizer(lowercase=True)
    words.train_from_iterator([sample.text for sample in read_samples()], vocab_size=1500, show_progress=False)
    return words._tokenizer, {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}


def _train_roberta_s(kind: str) -> tuple[Any, dict[str, Any]]:
    """The same with <s> before a text and </s> after it."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer, SentencePieceBPETokenizer
    from tokenizers.processors import TemplateProcessing

    names = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)]
    words: Any = ByteLevelBPETokenizer() if kind == "roberta" else SentencePieceBPETokenizer()
    texts = [sample.text for sample in read_samples()]
    words.train_from_iterator(texts, vocab_size=1500, special_tokens=names, show_progress=False)
    words._tokenizer.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    roles = ("cls", "pad", "sep", "unk", "mask")
    return words._tokenizer, {f"{role}_token": name for role, name in zip(roles, names, strict=True)}


def _write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
