"""The golden samples that ship with modelkiln are what a gate needs, and files like theirs are read well."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkiln import ModelkilnError
from modelkiln.files import storable
from modelkiln.golden import SHIPPED, Sample, read_samples
from modelkiln.quality import normalise

anything = st.text(st.characters())  # with lone surrogates
LINES = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]


def test_samples_are_in_three_languages_and_of_many_lengths() -> None:
    assert len({line["id"] for line in LINES}) == len(LINES) >= 24
    assert min(Counter(line["lang"] for line in LINES).values()) >= 8
    words = [len(line["text"].split()) for line in LINES]
    assert (min(words) >= 50, max(words) <= 400) == (True, True)
    assert sum(count < 80 for count in words) >= 5
    assert sum(count > 250 for count in words) >= 8


def test_samples_are_read_as_they_stand() -> None:
    assert [sample.id for sample in read_samples()] == [line["id"] for line in LINES]
    assert [sample.text for sample in read_samples()] == [line["text"] for line in LINES]


@pytest.mark.parametrize("sample", read_samples(), ids=lambda sample: sample.id)
def test_key_phrases_stand_in_their_text(sample: Sample) -> None:
    phrases = [normalise(phrase) for phrase in sample.keywords]
    assert 4 <= len(set(phrases)) == len(phrases) <= 8
    assert all(1 <= len(phrase.split()) <= 3 for phrase in phrases)
    assert not [phrase for phrase in phrases if f" {phrase} " not in f" {normalise(sample.text)} "]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


def read(folder: Path, data: bytes, what: str = "the golden samples") -> list[Sample]:
    path = folder / "samples.jsonl"
    path.write_bytes(data)
    return read_samples(path, what)


@given(samples=st.lists(st.tuples(anything.filter(str.strip), st.lists(anything, max_size=3)), min_size=1, max_size=5))
def test_any_text_comes_back_whole(folder: Path, samples: list[tuple[str, list[str]]]) -> None:
    data = [{"id": index, "text": text, "keywords": gold} for index, (text, gold) in enumerate(samples)]
    expected = [
        Sample(str(index), storable(text), tuple(map(storable, gold))) for index, (text, gold) in enumerate(samples)
    ]
    assert read(folder, "\n".join(map(json.dumps, data)).encode()) == expected
    lines = [json.dumps(line, ensure_ascii=False) for line in data]
    if not any("\ud800" <= char <= "\udfff" for line in lines for char in line):  # such a file is no UTF-8
        assert read(folder, "\r\n".join([*lines, ""]).encode()) == expected


def test_line_separators_inside_a_text_split_no_line(folder: Path) -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive"
    data = json.dumps({"id": "a", "text": text}, ensure_ascii=False).replace("\\u000b", "\x0b")
    assert read(folder, data.replace("\x0b", "\\u000b").encode()) == [Sample("a", text)]


def test_lone_surrogate_becomes_the_character_that_stands_for_it(folder: Path) -> None:
    data = b'{"id": "a\\udfff", "text": "\\ud800 tram", "keywords": ["tram \\ud800"]}'
    assert read(folder, data) == [Sample("a\ufffd", "\ufffd tram", ("tram \ufffd",))]


def test_byte_order_mark_and_empty_lines_are_no_matter(folder: Path) -> None:
    data = (
        b'\xef\xbb\xbf{"id": 1, "text": "tram", "lang": "en"}\r\n\r\n   \n{"id": "2", "text": "rain", "keywords": []}\n'
    )
    assert read(folder, data) == [Sample("1", "tram"), Sample("2", "rain")]


GOOD = b'{"id": 1, "text": "fine", "keywords": ["fine"]}\n'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ': no golden samples in it: expected {"id": …, "text": …} on each line'),
        (b"\n \n", ": no golden samples in it"),
        (GOOD + b"not json\n", ', line 2: expected {"id": …, "text": …}, found no JSON: Expecting value'),
        (GOOD + b"[" * 100_000, ", line 2: expected"),
        (GOOD + b"\n[1]\n", ', line 3: expected {"id": …, "text": …}, found a list'),
        (GOOD + b'{"id": 2}\n', ', line 2: expected {"id": …, "text": …}, found no `text`'),
        (b'{"text": "fine"}\n', ', line 1: expected {"id": …, "text": …}, found no `id`'),
        (b'{"id": null, "text": "fine"}', ", line 1: `id` has to be text or a whole number, found null"),
        (b'{"id": true, "text": "fine"}', ", line 1: `id` has to be text or a whole number, found true or false"),
        (b'{"id": 1.5, "text": "fine"}', ", line 1: `id` has to be text or a whole number, found a number"),
        (b'{"id": 1, "text": "  "}', ", line 1: `text` has to be text, and some, found only blanks"),
        (b'{"id": 1, "text": null}', ", line 1: `text` has to be text, and some, found null"),
        (b'{"id": 1, "text": ["a"]}', ", line 1: `text` has to be text, and some, found a list"),
        (b'{"id": 1, "text": "a", "keywords": "tram; rain"}', "line 1: `keywords` has to be a list of text"),
        (b'{"id": 1, "text": "a", "keywords": null}', '["sleeper train"], found null'),
        (b'{"id": 1, "text": "a", "keywords": {}}', '["sleeper train"], found an object'),
        (b'{"id": 1, "text": "a", "keywords": ["b", 3]}', '["sleeper train"], found a number in it'),
        (GOOD + b'{"id": 2, "text": "a"}\n{"id": "1", "text": "b"}\n', ", line 3: id '1' is that of line 1 already"),
        (GOOD + b'{"id": 2, "text": "\xff"}\n', "not UTF-8"),
    ],
)
def test_file_that_is_none_is_one_line_that_says_where(folder: Path, data: bytes, message: str) -> None:
    with pytest.raises(ModelkilnError) as raised:
        read(folder, data)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(str(folder / "samples.jsonl"))
    assert message in line


def test_error_says_what_the_file_was_to_be(folder: Path) -> None:
    with pytest.raises(ModelkilnError, match="no corpus in it"):
        read(folder, b"", "the corpus")
    with pytest.raises(ModelkilnError, match=r"missing\.jsonl: can't read the corpus: No such file"):
        read_samples(folder / "missing.jsonl", "the corpus")
    with pytest.raises(ModelkilnError, match="can't read the corpus: Is a directory"):
        read_samples(folder, "the corpus")
