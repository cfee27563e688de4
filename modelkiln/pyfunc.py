"""What MLflow loads a registered artifact by: `mlflow.pyfunc.load_model`, `mlflow models serve`.

    mlflow models serve -m models:/keywords-minilm@champion --env-manager local
    curl -H 'Content-Type: application/json' localhost:5000/invocations \
      -d '{"inputs": [{"text": "The tram line opens …"}], "params": {"top_n": 3}}'
"""

from __future__ import annotations

from typing import Any

from modelkiln.errors import ModelkilnError, one_line
from modelkiln.registries.mlflow.model import KEYWORD_PARAMS, TEXT


class Keywords:
    """An extractor, as MLflow calls it."""

    def __init__(self, extractor: Any) -> None:
        """Answers by that extractor."""
        self._extractor = extractor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[list[tuple[str, float]]]:
        """The keywords of each text; see KeywordExtractor.extract_keywords.

        Args:
            model_input: A data frame whose column `text` holds the texts, or a list of them, or one.
            params: See modelkiln.registries.mlflow.model.KEYWORD_PARAMS.

        Raises:
            MlflowException: an input or a param that means nothing, which MLflow's server answers with 400.
        """
        from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException

        try:
            answers: list[list[tuple[str, float]]] = self._extractor.extract_keywords(
                _texts(model_input), **_options(params or {})
            )
        except ModelkilnError as error:
            raise MlflowException(one_line(error), INVALID_PARAMETER_VALUE) from None
        return answers


def _load_pyfunc(path: str) -> Keywords:
    """What answers by the artifact in that folder, which is verified first."""
    import modelkiln

    return Keywords(modelkiln.load(path))


def _texts(model_input: Any) -> list[Any]:
    if hasattr(model_input, "columns"):  # a data frame, which MLflow makes of what it is asked over HTTP
        if TEXT not in model_input.columns:
            raise ModelkilnError(f"expected a column {TEXT!r}, found {', '.join(map(str, model_input.columns))}")
        return list(model_input[TEXT])
    return [model_input] if isinstance(model_input, str) else list(model_input)


def _options(params: dict[str, Any]) -> dict[str, Any]:
    """The params as extract_keywords has them: a range is a pair, no words are None, one may be the name of a list."""
    if unknown := sorted(set(params) - set(KEYWORD_PARAMS)):
        raise ModelkilnError(f"params: unknown {', '.join(unknown)}; expected {', '.join(KEYWORD_PARAMS)}")
    options = dict(params)
    if "keyphrase_ngram_range" in options:
        options["keyphrase_ngram_range"] = tuple(options["keyphrase_ngram_range"])
    for name in ("candidates", "seed_keywords", "stop_words"):
        if name in options:
            options[name] = list(options[name]) or None
    if options.get("stop_words") == ["english"]:
        options["stop_words"] = "english"
    return options
