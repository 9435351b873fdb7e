"""The axis reconstruction: what is left of a clip after each representation, and a paper's figures below.

``sheets`` holds the tables and the sentences under them; this module puts a study together.
"""

from __future__ import annotations

from ....report.chapter import Chapter, StudyPage, StudyRecords


def tell(study: StudyRecords) -> StudyPage:
    """A study's two tables, what differs for sure, and the published table."""
    from ....report.markup import bullets, records_of
    from . import tables as sheets

    board = sheets.make_board(study.name, study.folder, study.records)
    said = sheets.findings(board)
    details = ["## What is left of the music", sheets.content(board).markdown()]
    details += ["## What differs", sheets.PAIRED, bullets(said)] if said else []
    details += [sheets.published(study.folder.parent), "## How it was run", sheets.basis(board)]
    corpus = board.records[-1].cell["data"]["corpus"]["name"]
    views = [row.system for row in board.rows if "representation" in row.records[0].cell]
    return StudyPage(
        f"{len(views)} representations of the corpus `{corpus}`.", sheets.signal(board),
        details=[*details, f"The {records_of(study.folder)} hold everything above."],
        row={"audio": corpus, "representations": str(len(views))}, weight=(len(views),),
    )  # fmt: skip


CHAPTER = Chapter(
    "Reconstruction",
    "How much of a clip is left after encoding and decoding? How it is measured: "
    "[reconstruction](docs/reconstruction.md).",
    tell,
)
