"""A compiled encoder where other libraries expect their own: as a backend of KeyBERT, and with `encode` as
sentence-transformers has it.

    extractor = modelkiln.load("artifacts/compiled")
    keybert.KeyBERT(model=keybert_backend(extractor)).extract_keywords("The tram line opens on Friday …")
    SentenceEncoder(extractor).encode(["The tram line opens on Friday …"])       # (1, dimension)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelkiln.encoder import Encoder, Vectors
from modelkiln.errors import ModelkilnError
from modelkiln.keywords.extractor import KeywordExtractor
from modelkiln.progress import track

if TYPE_CHECKING:
    import torch

Texts = str | Sequence[str] | NDArray[np.str_] | NDArray[np.object_]
AT_ONCE = 256  # texts, between two looks at the progress


def keybert_backend(predictor: KeywordExtractor | Encoder) -> Any:
    """A backend for `keybert.KeyBERT(model=…)` that embeds with the compiled encoder and its compiled vocabulary.

    Raises:
        ModelkilnError: KeyBERT is not installed.
    """
    try:
        from keybert.backend import BaseEmbedder
    except ImportError as error:
        raise ModelkilnError(f"keybert_backend needs KeyBERT: pip install keybert ({error})") from error

    # KeyBERT knows a backend by its class, so this one is made where KeyBERT is known to be there.
    class CompiledBackend(BaseEmbedder):  # type: ignore[misc]
        """The method that KeyBERT calls, for documents, candidates and seed words alike."""

        def embed(self, documents: Texts, verbose: bool = False) -> Vectors:
            """The vectors of the texts, (n, dimension)."""
            return _encode(self.embedding_model, _listed(documents), verbose)

    return CompiledBackend(embedding_model=encoder_of(predictor))


class SentenceEncoder:
    """`encode` as users of sentence-transformers know it; safe to use from several threads."""

    def __init__(self, predictor: KeywordExtractor | Encoder) -> None:
        self._encoder = encoder_of(predictor)

    def encode(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: object = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> NDArray[Any] | torch.Tensor | list[torch.Tensor]:
        """The vectors that `SentenceTransformer.encode` of sentence-transformers 6 gives for the uncompiled model.

        Args:
            sentences: A text; or a list, tuple or array of texts. A text longer than `max_seq_length` is cut off there.
            prompt_name: Only None: an artifact has no prompts.
            prompt: Only None. Put it before the texts yourself.
            batch_size: Has no effect: the encoder groups texts by their length.
            show_progress_bar: Show the progress on stderr.
            output_value: Only "sentence_embedding": the graph ends there.
            precision: Only "float32" (or None, which is the same).
            convert_to_numpy: An array; False: torch tensors, one for each text.
            convert_to_tensor: One torch tensor; wins over convert_to_numpy.
            device: Only None or "cpu".
            normalize_embeddings: Vectors of length 1, whatever the model gives.
            truncate_dim: Only so many of each vector's first numbers.

        Returns:
            (n, dimension) float32, in the order of the texts; (dimension,) for a single text. For no texts at all an
            empty array of shape (0,), as there.

        Raises:
            ModelkilnError: an option that a compiled encoder can't honour, or something that is not text.
        """
        for name, value, possible in (
            ("prompt_name", prompt_name, (None,)),
            ("prompt", prompt, (None,)),
            ("output_value", output_value, ("sentence_embedding",)),
            ("precision", precision, ("float32", None)),
            ("device", device if device is None else str(device), (None, "cpu")),
        ):
            if value not in possible:
                raise ModelkilnError(
                    f"{name}={value!r}: a compiled encoder can only do {' or '.join(map(repr, possible))}; "
                    "for anything else use sentence-transformers with the uncompiled model"
                )
        _check_positive("batch_size", batch_size)
        vectors = _encode(self._encoder, _listed(sentences), bool(show_progress_bar))
        if truncate_dim is not None:
            _check_positive("truncate_dim", truncate_dim)
            vectors = vectors[:, :truncate_dim]
        if normalize_embeddings:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        found = _converted(vectors, convert_to_numpy, convert_to_tensor)
        return found[0] if isinstance(sentences, str) else found

    def get_embedding_dimension(self) -> int:
        """The number of numbers in a vector."""
        return self._encoder.dimension

    def get_sentence_embedding_dimension(self) -> int:
        """get_embedding_dimension, as sentence-transformers called it before version 6."""
        return self._encoder.dimension

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that count, special tokens included. Compiled into the artifact, so it can't be set."""
        return self._encoder.spec.max_length


def encoder_of(predictor: KeywordExtractor | Encoder) -> Encoder:
    """The encoder for texts of any kind: of an extractor the one for words, which has the compiled vocabulary.

    Unless it would cut off documents earlier than the one for documents does.
    """
    if isinstance(predictor, Encoder):
        return predictor
    if not isinstance(predictor, KeywordExtractor):
        raise ModelkilnError(
            f"expected what modelkiln.load gives, or an encoder of it, found {type(predictor).__name__}"
        )
    longer = predictor.document.spec.max_length > predictor.word.spec.max_length
    return predictor.document if longer else predictor.word


def _listed(texts: Texts) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, list | tuple | np.ndarray):
        raise ModelkilnError(f"expected a text or a list of texts, found {type(texts).__name__}")
    return list(texts)


def _encode(encoder: Encoder, texts: list[str], shows_progress: bool) -> Vectors:
    if not shows_progress or not texts:
        return encoder.encode(texts)
    starts = range(0, len(texts), AT_ONCE)
    shown = track(starts, f"encoding, {AT_ONCE} texts at a time", len(starts))
    return np.concatenate([encoder.encode(texts[start : start + AT_ONCE]) for start in shown])


def _converted(vectors: Vectors, to_numpy: bool, to_tensor: bool) -> NDArray[Any] | torch.Tensor | list[torch.Tensor]:
    if to_numpy and not to_tensor:
        return vectors if len(vectors) else np.array([])
    try:
        import torch
    except ImportError as error:
        raise ModelkilnError(f"tensors need torch: pip install 'modelkiln[generic]' ({error})") from error
    tensor = torch.from_numpy(vectors) if len(vectors) else torch.tensor([])
    return tensor if to_tensor else list(tensor)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ModelkilnError(f"{name} must be at least 1, found {value}")
