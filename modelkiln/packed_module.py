"""A BERT-like encoder as a torch module that takes the `packed` layout (layouts.py).

It runs the model's own sub-modules, with two differences that change no answer: tokens of all texts in one matrix, and
the attention's scale inside the query's weights.
"""

from __future__ import annotations

from typing import Any

from modelkiln.encoder_module import Recipe, padding_of_positions, pool

# Models whose layers are BERT's, by config.model_type.
MODEL_TYPES = ("bert", "camembert", "roberta", "xlm-roberta")
NOWHERE = -1e9  # added to a score, it leaves nothing of it after the softmax


def can_pack(model: Any) -> bool:
    """Whether this transformers model is one whose layers are known here."""
    config = model.config
    absolute = getattr(config, "position_embedding_type", None) in (None, "absolute")
    return config.model_type in MODEL_TYPES and absolute and not getattr(config, "is_decoder", False)


def pack_module(model: Any, recipe: Recipe) -> Any:
    """The torch module (long_ids, short_ids, positions, gather, scatter) -> (vectors,) of such a model.

    The shapes are those of layouts.AXES; vectors are float32 of shape (longs + shorts, dimension), the longs' first.
    """
    import torch
    from torch.nn.functional import linear, normalize

    heads = model.config.num_attention_heads
    width = model.config.hidden_size // heads
    padding = padding_of_positions(model)
    first = 0 if padding is None else padding + 1

    class PackedModule(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        layout = "packed"

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            own = [layer.attention.self for layer in model.encoder.layer]
            scale = width**-0.5
            self.queries = [((each.query.weight * scale).detach(), (each.query.bias * scale).detach()) for each in own]

        def forward(self, long_ids: Any, short_ids: Any, positions: Any, gather: Any, scatter: Any) -> tuple[Any]:
            longs, length = long_ids.shape
            split = longs * length
            ids = torch.cat([long_ids.reshape(-1), short_ids])
            order = torch.cat([torch.arange(length).expand(longs, length).reshape(-1), positions]) + first
            if padding is not None:
                # What fills a row of the rectangle up comes last in it, so no real token is after it.
                near = _paddings(short_ids[gather.clamp(min=0)], padding).reshape(-1)[scatter]
                before = torch.cat([_paddings(long_ids, padding).reshape(-1), near])
                order = (order - before).masked_fill(ids.eq(padding), padding)
            tokens = self.model.embeddings(
                input_ids=ids[None], position_ids=order[None], token_type_ids=torch.zeros_like(ids)[None]
            )[0]
            real = (gather >= 0).to(tokens.dtype)
            gather = gather.clamp(min=0)
            bias = ((1.0 - real) * NOWHERE)[:, None, None, :]
            for layer, query in zip(self.model.encoder.layer, self.queries, strict=True):
                own = layer.attention.self
                mixed = [linear(tokens, *query), own.key(tokens), own.value(tokens)]
                far = _attend([each[:split].reshape(longs, length, heads, width) for each in mixed], None)
                near = _attend([each[split:][gather].reshape(*gather.shape, heads, width) for each in mixed], bias)
                tokens = layer.attention.output(torch.cat([far, near[scatter]]), tokens)
                tokens = layer.output(layer.intermediate(tokens), tokens)
            far = tokens[:split].reshape(longs, length, -1)
            vectors = torch.cat(
                [
                    pool(far, torch.ones_like(far[:, :, 0]), recipe.pooling),
                    pool(tokens[split:][gather], real, recipe.pooling),
                ]
            )
            return (normalize(vectors, p=2.0, dim=1) if recipe.normalize else vectors,)

    def _paddings(ids: Any, padding: int) -> Any:
        """How many padding tokens each row of token ids has had up to each of its places."""
        return torch.cumsum(ids.eq(padding).to(ids.dtype), 1)

    def _attend(mixed: Any, bias: Any) -> Any:
        """Query, key and value (texts, length, heads, width) -> (texts * length, heads * width)."""
        query, key, value = mixed
        scores = torch.matmul(query.transpose(1, 2), key.permute(0, 2, 3, 1))
        scores = scores if bias is None else scores + bias
        mean = torch.matmul(torch.softmax(scores, -1), value.transpose(1, 2))
        return mean.transpose(1, 2).reshape(-1, heads * width)

    return PackedModule().eval()
