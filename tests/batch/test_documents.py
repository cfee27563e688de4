"""Documents come out of text, JSON lines and Parquet as they are, and what is no document says why, and where."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from modelkiln import ModelkilnError
from modelkiln.batch.documents import (
    Document,
    Fields,
    Format,
    count_documents,
    find_sources,
    read_documents,
    read_words,
)

PLAIN = Fields()


def read(path: Path, fields: Fields = PLAIN, given: Format | None = None) -> list[Document]:
    return list(read_documents(find_sources([path], given), fields))


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def test_text_file_is_one_document_under_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffTwo\nlines, é".encode())
    assert read(path) == [Document(str(path), "Two\nlines, é")]


def test_lines_are_documents_under_their_ids_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"id": "x", "text": "one"}', "", '{"text": "two"}', '{"id": 7, "text": ""}', '{"id": null, "text": "é"}']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    expected = [Document("x", "one"), Document(3, "two"), Document(7, ""), Document(5, "é")]
    assert read(path) == expected
    assert read(path.rename(tmp_path / "a.ndjson")) == expected
    assert read((tmp_path / "a.ndjson").rename(tmp_path / "b.log"), given=Format.jsonl) == expected


def test_fields_have_the_names_that_one_says(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "one", "url": "u", "text": 3}\n')
    assert read(path, Fields("body", "url")) == [Document("u", "one")]
    table = write_parquet(tmp_path / "a.parquet", {"body": ["one"], "url": ["u"], "text": [3]})
    assert read(table, Fields("body", "url")) == [Document("u", "one")]


@given(st.lists(st.tuples(st.text() | st.integers(), st.text(st.characters(exclude_categories=[])))))
def test_any_text_comes_back(rows: list[tuple[str | int, str]]) -> None:
    data = "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
        assert read(Path("-"), given=Format.jsonl) == [Document(name, text) for name, text in rows]


def test_rows_are_documents_in_order_across_row_groups(tmp_path: Path) -> None:
    texts = [f"text {index}" for index in range(1000)]
    path = write_parquet(tmp_path / "a.parquet", {"text": texts, "other": [b"x"] * 1000}, row_group_size=130)
    assert read(path) == [Document(number, text) for number, text in enumerate(texts, 1)]
    path = write_parquet(
        tmp_path / "b.parquet", {"id": ["a", None], "text": pyarrow.array(["x", "y"]).dictionary_encode()}
    )
    assert read(path) == [Document("a", "x"), Document(2, "y")]


def test_documents_are_counted_where_that_is_cheap(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    write_parquet(tmp_path / "a.parquet", {"text": ["x"] * 70})
    files = [tmp_path / "a.txt", tmp_path / "a.parquet"]
    assert count_documents(find_sources(files, None), PLAIN) == 71
    assert count_documents(find_sources([*files, tmp_path / "a.jsonl"], None), PLAIN) is None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "no JSON: Expecting property name"),
        (b'{"text": "caf\xe9"}', "not UTF-8 at byte 13; convert it"),
        (b'["text"]', "expected a JSON object, found list"),
        (b'"text"', "expected a JSON object, found str"),
        (b"[" * 100_000, "no JSON: "),
        (b'{"id": ' + b"9" * 5000 + b"}", "no JSON: "),
        (b'{"body": "b", "id": 1}', "no 'text'; it has 'body', 'id'; say --text-field"),
        (b"{}", "no 'text'; it has nothing; say --text-field"),
        (b'{"text": null}', "'text': expected text, found NoneType"),
        (b'{"text": ["a"]}', "'text': expected text, found list"),
        (b'{"id": 1.5, "text": "a"}', "'id': expected text or a whole number, found float"),
        (b'{"id": true, "text": "a"}', "'id': expected text or a whole number, found bool"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_line_that_is_no_document_says_why_and_the_next_is_read(line: bytes, error: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "before"}\n' + line + b'\n{"text": "after"}')
    before, wrong, after = read(path)
    assert (before, after) == (Document(1, "before"), Document(3, "after"))
    assert wrong.text == ""
    assert wrong.error.startswith(f"{path}, line 2: {error}")
    assert "\n" not in wrong.error


def test_id_that_was_asked_for_has_to_be_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n')
    (document,) = read(path, Fields(id="url"))
    assert document.error == f"{path}, line 1: 'url': expected text or a whole number, found NoneType"


def test_row_without_a_text_says_so(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["a", None, "c"]})
    first, second, third = read(path)
    assert (first.text, third.text) == ("a", "c")
    assert second.error == f"{path}, row 2: 'text': expected text, found NoneType"


def test_text_that_is_not_utf_8_says_where(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("Münster".encode("latin-1"))
    (document,) = read(path)
    assert document.error == f"{path}: not UTF-8 at byte 1; convert it (iconv -t utf-8)"
    with pytest.raises(ModelkilnError, match="not UTF-8 at byte 1"):
        read_words(path)


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        ({"body": ["a"]}, PLAIN, "no column 'text'; it has 'body'; say --text-field"),
        ({"text": ["a"]}, Fields(id="url"), "no column 'url'; it has 'text'; say --id-field"),
        ({"text": [1]}, PLAIN, "column 'text': expected text, found int64; say --text-field"),
        ({"text": [["a"]]}, PLAIN, "column 'text': expected text, found list"),
    ],
)
def test_parquet_without_the_columns_is_refused_before_it_is_read(
    columns: dict[str, Any], fields: Fields, message: str, tmp_path: Path
) -> None:
    path = write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(ModelkilnError, match=message) as raised:
        count_documents(find_sources([path], None), fields)
    assert "\n" not in str(raised.value)


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(ModelkilnError, match="can't be read as Parquet"):
        count_documents(find_sources([path], None), PLAIN)
    write_parquet(path, {"text": [f"text {number}" * 50 for number in range(5000)]}, row_group_size=1000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    found: list[Document] = []
    with pytest.raises(ModelkilnError, match=r"behind row \d+: can't be read as Parquet") as raised:
        found.extend(read_documents(find_sources([path], None), PLAIN))
    assert "\n" not in str(raised.value)
    assert len(found) >= 1000


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(table, path)
    with pytest.raises(ModelkilnError, match=r"a\.parquet: 2 columns are called 'text'; which one is meant\?"):
        count_documents(find_sources([path], None), PLAIN)


def test_who_names_a_pipe_is_told_that_it_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.txt")
    find_sources([tmp_path / "a.txt"], None)
    assert "a.txt: a pipe; waiting for who writes to it, until that ends" in capsys.readouterr().err


def test_missing_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (count_documents, lambda *job: list(read_documents(*job))):
        with pytest.raises(ModelkilnError, match=r"Parquet needs pyarrow: pip install 'modelkiln\[parquet\]'"):
            use(find_sources([path], None), PLAIN)


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["absent.txt"], None, "no such file: absent.txt"),
        (["."], None, r"\.: a folder; name the files in it"),
        (["a.csv"], None, r"a\.csv: unknown suffix; expected one of \.txt, .*\.parquet, or say --format"),
        (["-", "-"], None, r"standard input \(-\) can be read once only"),
        (["-"], Format.parquet, "Parquet can't be read from standard input"),
    ],
)
def test_input_that_can_not_be_is_refused(
    names: list[str], given: Format | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("a,b")
    with pytest.raises(ModelkilnError, match=message):
        find_sources([Path(name) for name in names], given)
