"""A file of answers is whole lines, whatever ended the run, and goes on only with answers of the same kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelkiln import ModelkilnError
from modelkiln.answers import AnswerFile, open_answers

RUN = {"artifact": "abc", "top_n": 5, "ngrams": (1, 2)}


def line(number: int) -> str:
    return json.dumps({"id": number, "keywords": [["é", 0.5]]}, ensure_ascii=False)


def write(path: Path, *numbers: int, run: dict[str, Any] = RUN, overwrite: bool = False) -> AnswerFile:
    with open_answers(path, run, overwrite) as answers:
        for number in numbers:
            answers.write(line(number))
    return answers


def test_second_run_goes_on_behind_the_first(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert write(path, 1, 2).found == 0
    second = write(path, 3)
    assert (second.found, second.count) == (2, 3)
    assert path.read_text("utf-8") == "".join(f"{line(number)}\n" for number in (1, 2, 3))
    assert list(second.ids()) == [1, 2]


@pytest.mark.parametrize("half", ['{"id": 3', '{"id": 3, "keywords": []}', "\0\0\0"])
def test_half_a_line_is_cut_off(half: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, 1, 2)
    with path.open("a") as file:
        file.write(half)
    assert write(path, 3).found == 2
    assert path.read_text("utf-8") == "".join(f"{line(number)}\n" for number in (1, 2, 3))
    path.write_text(half)
    assert write(path).found == 0
    assert path.read_bytes() == b""


def test_answer_is_in_the_file_when_it_is_written(tmp_path: Path) -> None:
    with open_answers(tmp_path / "out.jsonl", RUN, False) as answers:
        answers.write(line(1))
        assert (tmp_path / "out.jsonl").read_text("utf-8") == f"{line(1)}\n"


def test_lone_surrogate_is_written_as_json_can(tmp_path: Path) -> None:
    with open_answers(tmp_path / "out.jsonl", RUN, False) as answers:
        answers.write(json.dumps({"id": "\ud800"}, ensure_ascii=False))
    assert json.loads((tmp_path / "out.jsonl").read_text("utf-8")) == {"id": "\ud800"}


def refusal(path: Path, run: dict[str, Any] = RUN) -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ModelkilnError) as raised:
        write(path, 9, run=run)
    assert before is None or path.read_bytes() == before
    said = str(raised.value)
    assert "\n" not in said
    return said


def test_answers_of_another_run_are_refused_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, 1)
    said = refusal(path, {**RUN, "top_n": 3, "artifact": "def"})
    assert "artifact was 'abc' and is 'def'; top_n was 5 and is 3; --overwrite starts anew" in said
    assert "more was None and is 1" in refusal(path, {**RUN, "more": 1})
    assert write(path, 7, run={**RUN, "top_n": 3}, overwrite=True).found == 0
    assert path.read_text("utf-8") == f"{line(7)}\n"
    assert write(path, 8, run={**RUN, "top_n": 3}).found == 1


def test_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("all my work\n")
    assert "thesis.txt.run.json, which would say what it answers; --overwrite starts anew" in refusal(path)
    write_ours = tmp_path / "out.jsonl"
    write(write_ours, 1)
    with write_ours.open("a") as file:
        file.write("by hand\n")
    answers = write(write_ours)
    with pytest.raises(ModelkilnError, match=r"out.jsonl, line 2: not an answer of modelkiln; --overwrite"):
        list(answers.ids())


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_damaged_record_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, 1)
    (tmp_path / "out.jsonl.run.json").write_text(content)
    assert "out.jsonl.run.json" in refusal(path)


def test_empty_file_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.touch()
    assert write(path, 1).count == 1


def test_place_that_takes_no_file_is_refused(tmp_path: Path) -> None:
    assert "can't write here: No such file or directory" in refusal(tmp_path / "absent" / "out.jsonl")
    assert "can't write here: Is a directory" in refusal(tmp_path)
    assert "leave --output out" in refusal(Path("/dev/null"))


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    script = "import sys; from pathlib import Path; from modelkiln.answers import open_answers\n"
    script += f"with open_answers(Path({str(path)!r}), {RUN!r}, False): pass"
    with open_answers(path, RUN, False) as answers:
        answers.write(line(1))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "out.jsonl: another process is writing it" in done.stderr
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


FULL = """
import resource, sys
from pathlib import Path
from modelkiln.answers import open_answers
resource.setrlimit(resource.RLIMIT_FSIZE, (250, resource.RLIM_INFINITY))
with open_answers(Path(sys.argv[1]), {}, False) as answers:
    for number in range(100):
        answers.write('{"id": %d, "keywords": []}' % number)
"""


def test_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.endswith("File too large; 9 answers are written, and the same command goes on there")
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == list(range(9))
    assert path.read_bytes().endswith(b"\n")
