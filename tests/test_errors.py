"""What others say is printed without secrets, on one line, and commands no terminal."""

from __future__ import annotations

import pytest

from modelkiln.errors import LONGEST, ModelkilnError, one_line, plain

SECRET = "s3cr3t-t0k3n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"https://user:{SECRET}@host/x failed", "https://…@host/x failed"),
        (f"https://{SECRET}@host:8080/x", "https://…@host:8080/x"),
        (f"https://us%40er:p@ss{SECRET}@host/x", None),
        (f"user:{SECRET}@host.example/x: no such scheme", "…@host.example/x: no such scheme"),
        (f"'user:{SECRET}@localhost:5000'", "'…@localhost:5000'"),
        (f"GET http://host/x?token={SECRET}&page=2", "GET http://host/x?token=…&page=2"),
        (f"http://host/x?page=2&X-Amz-Signature={SECRET}", "http://host/x?page=2&X-Amz-Signature=…"),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer …"),
        (f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY----- is no path", None),
    ],
)
def test_secrets_of_an_address_are_not_printed(text: str, expected: str | None) -> None:
    for said in (str(ModelkilnError(text)), one_line(text), one_line(ValueError(text))):
        assert SECRET not in said
    if expected:
        assert plain(text) == expected


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "NEPTUNE_API_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_secret_of_the_environment_is_not_printed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f" {SECRET} ")
    assert str(ModelkilnError(f"the server said {SECRET}!")) == "the server said …!"


@pytest.mark.parametrize(
    "text",
    [
        "mlflow:keywords-minilm@champion: no such version; mlflow:keywords-minilm@v1.2 is there",
        "https://host:5000/api/2.0/x?page=2: 404",
        "hub:sentence-transformers/all-MiniLM-L6-v2@c9745ed1d9f2: a key that is there twice, 'monkey'",
        "expected {'a': 1}, found {'b': 'c'}\n  - two\n  - lines",
        "中文, Müller, naïve",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert str(ModelkilnError(text)) == text


def test_terminal_is_not_commanded() -> None:
    said = str(ModelkilnError("a\x1b[31mred\x1b]0;title\x07 \x9b2J \u202egnp.exe\nb\tc"))
    assert said == r"a\x1b[31mred\x1b]0;title\x07 \x9b2J \u202egnp.exe" + "\nb c"


def test_what_others_say_is_short() -> None:
    assert len(one_line("x" * 100_000)) <= LONGEST + 3
    assert one_line(ValueError()) == "ValueError"
    assert one_line("two\n lines") == "two lines"
