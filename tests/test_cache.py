"""The running cache and the phrase cache change no answer, keep to their bounds, and survive what becomes of files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelkiln
from modelkiln import ModelkilnError
from modelkiln.cache import OVERHEAD, VectorCache
from modelkiln.golden import read_samples
from modelkiln.phrase_store import PhraseStore

TEXTS = [sample.text for sample in read_samples()]
OPTIONS: dict[str, Any] = {"keyphrase_ngram_range": (1, 2), "top_n": 20}


def vector(number: int, dimension: int = 4) -> Any:
    return np.full(dimension, number, np.float32)


def filled(source: Any, texts: list[str], dimension: int = 4) -> tuple[list[int], Any]:
    vectors = np.zeros((len(texts), dimension), np.float32)
    return source.fill(texts, vectors, list(range(len(texts)))), vectors


def scores(found: list[list[tuple[str, float]]]) -> list[float]:
    return [score for keywords in found for _, score in keywords]


@given(st.integers(1, 5), st.lists(st.lists(st.integers(0, 9), max_size=6)))
def test_cache_gives_back_what_was_kept_and_forgets_the_least_recently_used(
    capacity: int, calls: list[list[int]]
) -> None:
    cache = VectorCache(4, capacity * (16 + OVERHEAD) / 1e6)
    assert cache.capacity == capacity
    recent: list[int] = []  # the model: the least recently used first
    for call in calls:
        texts = [str(number) for number in call]
        missing, vectors = filled(cache, texts)
        assert missing == [index for index, number in enumerate(call) if number not in recent]
        for index, number in enumerate(call):
            assert vectors[index].tolist() == ([number] * 4 if index not in missing else [0] * 4)
        recent = [n for n in recent if n not in call] + [n for n in dict.fromkeys(call[::-1]) if n in recent][::-1]
        new = [call[index] for index in missing]
        cache.keep([str(number) for number in new], np.array([vector(number) for number in new]).reshape(-1, 4))
        for number in new:
            recent = ([n for n in recent if n != number] + [number])[-capacity:]
        assert len(cache) == len(recent)


def test_cache_holds_from_many_threads() -> None:
    cache = VectorCache(4, 100 * (16 + OVERHEAD) / 1e6)

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 300, 2000):
            missing, vectors = filled(cache, [str(number)])
            assert missing or vectors[0].tolist() == [number] * 4
            cache.keep([str(number)], vector(int(number))[None])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_keywords_are_the_same_with_and_without_caches(table_artifact: Path, tmp_path: Path) -> None:
    bare = modelkiln.load(table_artifact, cache_mb=0)
    bare.word.vocabulary = None
    cached = modelkiln.load(table_artifact, phrase_cache=tmp_path / "phrases")
    expected = [bare.extract_keywords(text, **OPTIONS) for text in TEXTS]
    for _ in range(2):
        found = [cached.extract_keywords(text, **OPTIONS) for text in TEXTS]
        np.testing.assert_allclose(scores(found), scores(expected), atol=1.01e-4)  # rounded to 4 digits
        assert [{word for word, _ in each} for each in found] == [{word for word, _ in each} for each in expected]
    phrases = sorted({word for keywords in expected for word, _ in keywords})
    np.testing.assert_allclose(cached.word.encode(phrases), bare.word.encode(phrases), atol=1e-5)


def test_what_was_met_is_not_encoded_again(table_artifact: Path, tmp_path: Path) -> None:
    def tokens(extractor: Any) -> int:
        """Of the phrases that were encoded for the texts."""
        run, seen = extractor.word._run, []
        extractor.word._run = extractor.document._run = lambda *inputs: seen.append(inputs[1].size) or run(*inputs)
        for text in TEXTS[:5]:
            extractor.extract_keywords(text, **OPTIONS)
        return sum(seen)

    cold = tokens(modelkiln.load(table_artifact, cache_mb=0))
    extractor = modelkiln.load(table_artifact, phrase_cache=tmp_path / "phrases")
    assert tokens(extractor) <= cold
    assert tokens(extractor) < cold / 2  # from memory
    assert tokens(modelkiln.load(table_artifact, cache_mb=0, phrase_cache=tmp_path / "phrases")) < cold / 2


def test_another_process_finds_what_one_has_kept(tmp_path: Path) -> None:
    store = PhraseStore(tmp_path / "phrases", "model", 4)
    code = f"""
import numpy as np
from pathlib import Path
from modelkiln.phrase_store import PhraseStore
PhraseStore(Path({str(tmp_path / "phrases")!r}), "model", 4).keep(["tram", "nul\\0l"], np.array([[1] * 4, [2] * 4]))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    missing, vectors = filled(store, ["tram", "train", "nul\0l", "nul"])
    assert missing == [1, 3]
    assert vectors[:, 0].tolist() == [1, 0, 2, 0]


def test_store_stays_within_its_bound_and_drops_the_oldest(tmp_path: Path) -> None:
    store = PhraseStore(tmp_path / "phrases", "model", 4, megabytes=16 * 100 / 1e6)
    for number in range(250):
        store.keep([str(number)], vector(number)[None])
    missing, _ = filled(store, [str(number) for number in range(250)])
    assert 90 <= 250 - len(missing) <= 100
    assert missing == list(range(len(missing)))


def alter_a_vector(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE vectors SET vector = ?", (vector(9).tobytes(),))
    database.close()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_altered_vector_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "phrases"
    store = PhraseStore(path, "model", 4)
    store.keep(["tram", "weir"], np.stack([vector(1), vector(2)]))
    store.close()
    alter_a_vector(path)
    with pytest.warns(RuntimeWarning, match=r"vectors of 2 phrases were altered on disk; they are computed again"):
        assert filled(PhraseStore(path, "model", 4), ["tram", "weir"])[0] == [0, 1]
    store = PhraseStore(path, "model", 4)
    store.keep(["tram"], vector(1)[None])
    assert filled(store, ["tram"])[1].tolist() == [[1] * 4]


def test_damaged_file_is_left_as_it_is_and_done_without(tmp_path: Path) -> None:
    path = tmp_path / "phrases"
    store = PhraseStore(path, "model", 4)
    store.keep(["tram"], vector(1)[None])
    store.close()
    cut_off(path)
    before = path.read_bytes()
    with pytest.warns(RuntimeWarning, match=r"phrases: the phrase cache is damaged \(.*\), delete it when no process"):
        assert filled(PhraseStore(path, "model", 4), ["tram"])[0] == [0]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"my only notes", b"\0" * 9999, b"SQLite format 3\0"], ids=["text", "zeros", "cut"]
)
def test_file_that_is_none_of_ours_is_refused_and_not_touched(content: bytes, tmp_path: Path) -> None:
    for name in ("notes", "notes.aside", "notes-wal", "notes-shm", "notes-journal"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelkilnError, match="notes: not a phrase cache, so it is left alone; name another file"):
        PhraseStore(tmp_path / "notes", "model", 4)
    assert files_of(tmp_path) == dict.fromkeys(files_of(tmp_path), content)
    assert len(files_of(tmp_path)) == 5


def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelkilnError, match="not a phrase cache"):
        PhraseStore(tmp_path / "pipe", "model", 4)


def test_models_share_a_file_and_confuse_no_phrases(tmp_path: Path) -> None:
    first, second = PhraseStore(tmp_path / "phrases", "model", 4), PhraseStore(tmp_path / "phrases", "other", 4)
    first.keep(["tram"], vector(1)[None])
    assert filled(second, ["tram"])[0] == [0]
    second.keep(["tram"], vector(2)[None])
    assert filled(first, ["tram"])[1].tolist() == [[1] * 4]
    assert filled(second, ["tram"])[1].tolist() == [[2] * 4]
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == []  # nothing moved


def test_database_that_another_program_has_open_loses_nothing(tmp_path: Path) -> None:
    """Its rows stand in the -wal beside it, committed, and not yet in the file."""
    database = sqlite3.connect(tmp_path / "notes.db")
    database.execute("PRAGMA journal_mode=WAL")
    with database:
        database.execute("CREATE TABLE notes (text)")
        database.execute("INSERT INTO notes VALUES ('mine')")
    before = files_of(tmp_path)
    with pytest.raises(ModelkilnError, match="not a phrase cache"):
        PhraseStore(tmp_path / "notes.db", "model", 4)
    assert files_of(tmp_path) == before
    database.close()
    with sqlite3.connect(tmp_path / "notes.db") as again:
        assert again.execute("SELECT * FROM notes").fetchall() == [("mine",)]
    again.close()


def test_phrase_cache_of_another_version_is_refused(tmp_path: Path) -> None:
    PhraseStore(tmp_path / "phrases", "model", 4).close()
    database = sqlite3.connect(tmp_path / "phrases")
    database.execute("PRAGMA user_version=9")
    database.close()
    with pytest.raises(ModelkilnError, match="a phrase cache of another modelkiln; delete it, or name another file"):
        PhraseStore(tmp_path / "phrases", "model", 4)


def test_locked_file_is_gone_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelkiln.phrase_store.SECONDS_TO_WAIT", 0.1)
    store = PhraseStore(tmp_path / "phrases", "model", 4)
    other = sqlite3.connect(tmp_path / "phrases", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(RuntimeWarning, match=r"can't be used: database is locked; going on without it"):
        store.keep(["tram"], vector(1)[None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it says so once
        assert filled(store, ["tram"])[0] == [0]
    other.close()


@pytest.mark.parametrize("place", [".", "absent/phrases"])
def test_place_that_can_not_be_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(ModelkilnError, match="name a file in a folder that exists"):
        PhraseStore(tmp_path / place, "model", 4)


@pytest.mark.parametrize("megabytes", [-1, float("nan"), float("inf")])
def test_cache_of_no_size_is_refused(megabytes: float, table_artifact: Path) -> None:
    with pytest.raises(ModelkilnError, match="cache_mb must be 0 or more"):
        modelkiln.load(table_artifact, cache_mb=megabytes)


def test_documents_are_not_kept(table_artifact: Path, tmp_path: Path) -> None:
    word = modelkiln.load(table_artifact, phrase_cache=tmp_path / "phrases").word
    word.encode(["x" * 257, "zweitausend"])
    assert len(word.cache) == 1
    assert filled(word.store, ["x" * 257, "zweitausend"], word.dimension)[0] == [0]
