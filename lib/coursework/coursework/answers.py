"""Planted answers beside an assignment: wrong ones must fail, unusual right ones must pass.

`answers.md` has a heading for each question (`## pool`), and below it one for each answer
(`### wrong: the sign of the scores` or `### right: a loop over the tokens`) with its code.
"""

import dataclasses
import re

from coursework.source import Assignment, SourceError

_QUESTION = re.compile(r"^## (\w+)\s*$")
_ANSWER = re.compile(r"^### (wrong|right): (.+?)\s*$")


@dataclasses.dataclass(frozen=True)
class Answer:
    """One planted answer.

    Args:
        question: the question that it answers.
        right: whether it must earn all points of the question.
        title: what is unusual or wrong about it.
        code: takes the place of the question's cell.
    """

    question: str
    right: bool
    title: str
    code: str


def read(assignment: Assignment) -> tuple[Answer, ...]:
    """The planted answers of an assignment.

    Raises:
        SourceError: `answers.md` is missing, or a heading fits nothing.
    """
    file = assignment.folder / "answers.md"
    if not file.is_file():
        raise SourceError(f"{assignment.name}: expected {file}")
    answers, question, heading, code = [], None, None, None
    for number, line in enumerate(file.read_text("utf8").splitlines(), 1):
        if code is not None:
            if line.startswith("```"):
                answers.append(Answer(question, heading[1] == "right", heading[2], "\n".join(code)))
                heading = code = None
            else:
                code.append(line)
        elif line.startswith("```"):
            if question is None or heading is None:
                raise SourceError(f"{file}:{number}: code without a question and an answer's title")
            code = []
        elif line.startswith("###"):
            heading = _ANSWER.match(line)
            if heading is None:
                raise SourceError(f"{file}:{number}: expected '### wrong: ...' or '### right: ...'")
        elif line.startswith("## "):
            match = _QUESTION.match(line)
            question = assignment.question(match[1] if match else line[3:]).name
    return tuple(answers)
