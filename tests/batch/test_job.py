"""`modelkiln extract`: files of any kind in, a line of JSON for each document out, and on after whatever stopped it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow
import pytest
from ctrl_c import heed_ctrl_c
from pyarrow import parquet

import modelkiln
from modelkiln import cli
from modelkiln.batch.answers import open_answers
from modelkiln.batch.documents import Document
from modelkiln.batch.job import unanswered
from modelkiln.golden import read_samples
from modelkiln.keywords.extractor import KeywordExtractor

TEXT = "The tram line opens on Friday. The mayor said the tram was late, but the line is long."
SENTENCES = [sentence for sample in read_samples() for sentence in sample.text.split(". ")][:150]
LINES = [json.dumps({"id": f"s-{number}", "text": text}) + "\n" for number, text in enumerate(SENTENCES)]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def extractor(table_artifact: Path) -> KeywordExtractor:
    found: KeywordExtractor = modelkiln.load(table_artifact, cache_mb=0)
    return found


@pytest.fixture
def extract(
    table_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """`modelkiln extract ARTIFACT …` in this process, in an empty folder; without a cache, for equality to the bit."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(
            sys, "argv", ["modelkiln", "extract", str(table_artifact), "--cache-mb", "0", *map(str, arguments)]
        )
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        said = capfd.readouterr()
        code = exit_.value.code
        return subprocess.CompletedProcess(sys.argv, code if isinstance(code, int) else 0, said.out, said.err)

    return run


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.jsonl"
    path.write_text("".join(LINES))
    return path


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def answers(text: str) -> list[dict[str, Any]]:
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def pairs(keywords: Sequence[Sequence[Any]]) -> list[tuple[str, float]]:
    return [(word, score) for word, score in keywords]


def test_text_files_are_a_document_each(extract: Command, extractor: KeywordExtractor, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "leer.txt").write_text("")
    done = extract("a.txt", "leer.txt", "--ngrams", "1,2", "--top-n", "3")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = answers(done.stdout)
    assert first["id"] == "a.txt"
    assert pairs(first["keywords"]) == extractor.extract_keywords(TEXT, keyphrase_ngram_range=(1, 2), top_n=3)
    assert second == {"id": "leer.txt", "keywords": []}


def test_lines_and_rows_have_the_keywords_of_their_texts(
    extract: Command, extractor: KeywordExtractor, sentences: Path, tmp_path: Path
) -> None:
    lines = answers(extract("sentences.jsonl").stdout)
    assert [line["id"] for line in lines] == [f"s-{number}" for number in range(len(SENTENCES))]
    assert [pairs(line["keywords"]) for line in lines] == list(extractor.stream(SENTENCES))
    parquet.write_table(pyarrow.table({"body": SENTENCES, "url": range(len(SENTENCES))}), tmp_path / "a.parquet")
    rows = answers(extract("a.parquet", "--text-field", "body", "--id-field", "url", "--workers", "2").stdout)
    assert [row["id"] for row in rows] == list(range(len(SENTENCES)))
    assert [row["keywords"] for row in rows] == [line["keywords"] for line in lines]


def test_standard_input_is_a_text_or_lines(modelkiln_command: Any, table_artifact: Path) -> None:
    done = modelkiln_command("extract", table_artifact, "--diversify", "mmr", input=TEXT)
    (answer,) = answers(done.stdout)
    assert (answer["id"], len(answer["keywords"])) == ("-", 5)
    done = modelkiln_command("extract", table_artifact, "-", "--format", "jsonl", input="".join(LINES[:3]))
    assert [answer["id"] for answer in answers(done.stdout)] == ["s-0", "s-1", "s-2"]


def test_options_are_those_of_extract_keywords(extract: Command, extractor: KeywordExtractor, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "stop.txt").write_text("Tram\nline\n\n")
    (tmp_path / "only.txt").write_text("mayor\ntram\nferry\n")
    for arguments, options in [
        (["--stop-words", "stop.txt", "--top-n", 50], {"stop_words": ["tram", "line"], "top_n": 50}),
        (["--stop-words", "none"], {"stop_words": None}),
        (["--candidates", "only.txt"], {"candidates": ["mayor", "tram", "ferry"]}),
        (["--seed-keywords", "weather, rain"], {"seed_keywords": ["weather", "rain"]}),
        (["--diversify", "mmr", "--diversity", "0.9"], {"use_mmr": True, "diversity": 0.9}),
        (["--diversify", "maxsum", "--nr-candidates", "6"], {"use_maxsum": True, "nr_candidates": 6}),
        (["--threads", "1", "--at-once", "1"], {}),
    ]:
        (answer,) = answers(extract("a.txt", *arguments).stdout)
        assert pairs(answer["keywords"]) == extractor.extract_keywords(TEXT, **options), arguments


def test_phrase_cache_is_kept_for_the_next_run(modelkiln_command: Any, table_artifact: Path, tmp_path: Path) -> None:
    command = ["extract", table_artifact, "--phrase-cache", "phrases.cache"]
    first = modelkiln_command(*command, input=TEXT)
    second = modelkiln_command(*command, input=TEXT)
    assert (first.stderr, second.stderr) == ("", "")
    assert [word for word, _ in answers(first.stdout)[0]["keywords"]] == [
        word for word, _ in answers(second.stdout)[0]["keywords"]
    ]
    (tmp_path / "phrases.cache").write_text("my notes")
    third = modelkiln_command(*command, input=TEXT)
    assert third.returncode == 1
    (line,) = third.stderr.splitlines()
    assert line.startswith("modelkiln: phrases.cache: not a phrase cache, so it is left alone")
    assert (tmp_path / "phrases.cache").read_text() == "my notes"


def test_endless_input_is_answered_as_it_comes(table_artifact: Path) -> None:
    endless = subprocess.Popen(["yes", LINES[0].strip()], stdout=subprocess.PIPE)
    command = [sys.executable, "-m", "modelkiln.cli", "extract", str(table_artifact), "--format", "jsonl"]
    ours = subprocess.Popen(command, stdin=endless.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert ours.stdout
    assert ours.stderr
    assert [json.loads(ours.stdout.readline())["id"] for _ in range(100)] == ["s-0"] * 100
    ours.stdout.close()  # as `| head` does
    assert ours.wait(60) == 1
    assert "Traceback" not in ours.stderr.read()
    endless.kill()
    endless.wait()


def test_document_of_a_megabyte_is_worked_through(extract: Command, tmp_path: Path) -> None:
    words = " ".join(sample.text for sample in read_samples()).split()
    text = " ".join(words[number % len(words)] for number in range(170_000))
    assert len(text) > 1_000_000
    (tmp_path / "long.jsonl").write_text(LINES[0] + json.dumps({"id": "long", "text": text}) + "\n" + LINES[1])
    started = time.perf_counter()
    done = extract("long.jsonl")
    assert [answer["id"] for answer in answers(done.stdout)] == ["s-0", "long", "s-1"]
    assert [len(answer["keywords"]) for answer in answers(done.stdout)] == [5, 5, 5]
    assert time.perf_counter() - started < 30  # 3 s on an idle core


@pytest.mark.parametrize("output", [(), ("--output", "out.jsonl")], ids=["stdout", "file"])
def test_bad_line_is_named_and_what_came_before_it_is_written(
    output: tuple[str, ...], extract: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text("".join([*LINES[:40], '{"id": "bad", "body": ""}\n', LINES[40]]))
    done = extract("a.jsonl", *output)
    assert refused(done) == "modelkiln: a.jsonl, line 41: no 'text'; it has 'id', 'body'; say --text-field"
    written = (tmp_path / "out.jsonl").read_text() if output else done.stdout
    assert [answer["id"] for answer in answers(written)] == [f"s-{number}" for number in range(40)]


def test_bad_line_can_be_answered_with_its_error(extract: Command, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join([LINES[0], "no json\n", LINES[1], '{"id": "x"}\n']))
    done = extract("a.jsonl", "--on-error", "skip", "--output", "out.jsonl")
    assert done.returncode == 0
    first, second, third, fourth = answers((tmp_path / "out.jsonl").read_text())
    assert (first["id"], third["id"]) == ("s-0", "s-1")
    assert second["id"] == 2
    assert second["error"].startswith("a.jsonl, line 2: no JSON: ")
    assert fourth == {"id": "x", "error": "a.jsonl, line 4: no 'text'; it has 'id'; say --text-field"}


def test_run_goes_on_after_a_bad_line_was_put_right(extract: Command, sentences: Path, tmp_path: Path) -> None:
    whole = extract("sentences.jsonl").stdout
    sentences.write_text("".join([*LINES[:70], "{\n", *LINES[71:]]))
    assert "sentences.jsonl, line 71: no JSON" in refused(extract("sentences.jsonl", "--output", "out.jsonl"))
    sentences.write_text("".join(LINES))
    done = extract("sentences.jsonl", "--output", "out.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "out.jsonl: going on behind the 70 answers that it holds\n"
    assert (tmp_path / "out.jsonl").read_text() == whole
    assert extract("sentences.jsonl", "--output", "out.jsonl").returncode == 0
    assert (tmp_path / "out.jsonl").read_text() == whole


def test_run_goes_on_from_every_place(extract: Command, sentences: Path, tmp_path: Path) -> None:
    done = extract("sentences.jsonl", "--output", "out.jsonl")
    assert done.returncode == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for place in (0, 1, ends[0], ends[30], ends[31], ends[31] + 5, ends[100] - 1, ends[-1] - 1, ends[-1]):
        (tmp_path / "out.jsonl").write_bytes(whole[:place])
        assert extract("sentences.jsonl", "--output", "out.jsonl").returncode == 0
        assert (tmp_path / "out.jsonl").read_bytes() == whole, place


@pytest.mark.parametrize(("found", "first", "again"), [(0, 0, 0), (3, 0, 3), (4, 4, 0), (9, 8, 1), (10, 10, 0)])
def test_group_that_was_cut_is_done_again(found: int, first: int, again: int, tmp_path: Path) -> None:
    """Or its vectors would stand beside others than in one run, and their last bits might be other ones."""
    documents = [Document(number, "text") for number in range(10)]
    with open_answers(tmp_path / "out.jsonl", {}, False) as answers:
        for number in range(found):
            answers.write(json.dumps({"id": number}))
    with open_answers(tmp_path / "out.jsonl", {}, False) as answers:
        left, repeated = unanswered(answers, iter(documents), 4)
        assert (list(left), repeated) == (documents[first:], again)


def test_input_that_breaks_off_is_named_however_often(extract: Command, tmp_path: Path) -> None:
    texts = [f"{SENTENCES[number % 150]} {number}" for number in range(600)]
    parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet", row_group_size=192)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1000] = bytes(1000)
    (tmp_path / "a.parquet").write_bytes(data)
    message = "modelkiln: a.parquet, behind row 192: can't be read as Parquet"
    assert message in refused(extract("a.parquet", "--output", "out.jsonl", "--at-once", "50"))
    whole = (tmp_path / "out.jsonl").read_bytes()
    assert len(answers(whole.decode())) == 192
    (tmp_path / "out.jsonl").write_bytes(whole[:-10])
    assert message in refused_after_notice(extract("a.parquet", "--output", "out.jsonl", "--at-once", "50"))
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_another_input_or_run_is_refused(extract: Command, sentences: Path, tmp_path: Path) -> None:
    out = ("--output", "out.jsonl")
    assert extract("sentences.jsonl", *out).returncode == 0
    before = (tmp_path / "out.jsonl").read_text()
    sentences.write_text("".join([*LINES[:8], LINES[9]]))
    said = refused_after_notice(extract("sentences.jsonl", *out))
    assert "line 9: answers document 's-8', but the input's document 9 is 's-9'" in said
    sentences.write_text("".join(LINES[:8]))
    assert "150 answers, but the input has 8 documents" in refused_after_notice(extract("sentences.jsonl", *out))
    assert "top_n was 5 and is 2" in refused(extract("sentences.jsonl", *out, "--top-n", "2"))
    (tmp_path / "more.jsonl").write_text("")
    assert "input was ['sentences.jsonl'] and is" in refused(extract("sentences.jsonl", "more.jsonl", *out))
    assert "top_n must be" in refused(extract("sentences.jsonl", *out, "--overwrite", "--top-n", "0"))
    assert (tmp_path / "out.jsonl").read_text() == before
    assert extract("sentences.jsonl", *out, "--overwrite", "--top-n", "2").returncode == 0
    assert [len(answer["keywords"]) for answer in answers((tmp_path / "out.jsonl").read_text())] == [2] * 8


def refused_after_notice(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    notice, line = done.stderr.splitlines()
    assert "going on behind" in notice
    return line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.txt"], "no such file: absent.txt"),
        (["a.txt", "--ngrams", "two"], "--ngrams: expected two numbers, as 1,2; found 'two'"),
        (["a.txt", "--ngrams", "2,1"], "keyphrase_ngram_range: expected two numbers"),
        (["a.txt", "--stop-words", "klingon"], "no list named 'klingon'"),
        (["a.txt", "--top-n", "0"], "top_n must be a whole number of at least 1"),
        (["a.txt", "--workers", "0"], "--workers must be from 1 to 1024, found 0"),
        (["a.txt", "--threads", "0"], "--threads must be from 1 to 1024, found 0"),
        (["a.txt", "--seed-keywords", "a,,b"], "--seed-keywords: expected words with commas between them"),
        (["a.txt", "--candidates", "absent.txt"], "absent.txt: No such file or directory"),
        (["a.txt", "--cache-mb", "-1"], "cache_mb must be 0 or more"),
        (["a.txt", "--phrase-cache", "absent/cache"], "absent/cache: can't keep a phrase cache here"),
        (["a.txt", "--overwrite"], "--overwrite: of which file? Say --output"),
        (["a.txt", "--output", "a.txt"], "a.txt: is also the input; choose another output"),
        (["a.txt", "--output", "a.parquet"], "a.parquet: answers are written as JSON lines"),
        (["a.txt", "--output", "absent/out.jsonl"], "absent/out.jsonl: can't write here: No such file"),
        (["latin.txt"], "latin.txt: not UTF-8 at byte 1; convert it (iconv -t utf-8)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_means_nothing_is_refused_in_one_line(
    arguments: list[str], message: str, extract: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "latin.txt").write_bytes("Münster".encode("latin-1"))
    done = extract(*arguments)
    assert message in refused(done)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere", "-"], "nowhere: no artifact here"), (["mlfow:x/1"], "'mlfow' (did you mean 'mlflow'?)")],
)
def test_artifact_that_is_none_is_refused(arguments: list[str], message: str, modelkiln_command: Any) -> None:
    assert message in refused(modelkiln_command("extract", *arguments, input=TEXT))


@pytest.mark.parametrize(
    ("number", "options", "least", "code"),
    [
        (signal.SIGINT, [], 128, 130),
        (signal.SIGINT, ["--workers", "2"], 32, 130),
        (signal.SIGTERM, [], 128, 143),
        (signal.SIGKILL, [], 128, -signal.SIGKILL),
    ],
    ids=["ctrl-c", "ctrl-c-workers", "terminate", "kill"],
)
def test_stopped_run_leaves_whole_lines_and_goes_on(
    number: signal.Signals,
    options: list[str],
    least: int,
    code: int,
    table_artifact: Path,
    sentences: Path,
    tmp_path: Path,
) -> None:
    # The input stays open behind 140 of the documents: 4 groups of 32 are full, and then it waits.
    # With workers it may wait for the fifth with the answers of three in hand.
    fifo = tmp_path / "input.jsonl"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "modelkiln.cli", "extract", str(table_artifact), "input.jsonl"]
    command += ["--cache-mb", "0", *options, "--output", "out.jsonl"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)
    with fifo.open("w") as pipe:
        feed(pipe, LINES[:140])
        output = tmp_path / "out.jsonl"
        wait_for(lambda: output.exists() and output.read_bytes().count(b"\n") >= least, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    if number != signal.SIGKILL:
        count = len(answers(output.read_text()))
        stopped = f"interrupted; this run wrote {count} answers to out.jsonl; the same command goes on from there"
        assert said.splitlines()[-1] == f"modelkiln: {stopped}"
        assert "Traceback" not in said
    fifo.unlink()
    sentences.rename(fifo)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "going on behind the" in done.stderr
    whole = subprocess.run(command[:-2], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert output.read_text() == whole
    assert len(answers(whole)) == 150


def feed(pipe: IO[str], lines: list[str]) -> None:
    pipe.writelines(lines)
    pipe.flush()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.perf_counter() + 120
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.perf_counter() < deadline
        time.sleep(0.02)
