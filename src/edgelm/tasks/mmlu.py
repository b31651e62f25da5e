"""MMLU: 57 subjects from school to profession, 4 choices, 5 exemplars; the letter that the answer names counts."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass

from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.tasks.exams import Columns, Exam, table
from edgelm.tasks.options import first_option

HUMANITIES = (
    "formal_logic", "high_school_european_history", "high_school_us_history", "high_school_world_history",
    "international_law", "jurisprudence", "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy",
    "prehistory", "professional_law", "world_religions",
)  # fmt: skip
STEM = (
    "abstract_algebra", "anatomy", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
    "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
    "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
)  # fmt: skip
SOCIAL_SCIENCE = (
    "econometrics", "high_school_geography", "high_school_government_and_politics", "high_school_macroeconomics",
    "high_school_microeconomics", "high_school_psychology", "human_sexuality", "professional_psychology",
    "public_relations", "security_studies", "sociology", "us_foreign_policy",
)  # fmt: skip
OTHER = (
    "business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging", "management",
    "marketing", "medical_genetics", "miscellaneous", "nutrition", "professional_accounting", "professional_medicine",
    "virology",
)  # fmt: skip
# The order in which OpenCompass asks the subjects.
ORDER = (
    "college_biology", "college_chemistry", "college_computer_science", "college_mathematics", "college_physics",
    "electrical_engineering", "astronomy", "anatomy", "abstract_algebra", "machine_learning", "clinical_knowledge",
    "global_facts", "management", "nutrition", "marketing", "professional_accounting", "high_school_geography",
    "international_law", "moral_scenarios", "computer_security", "high_school_microeconomics", "professional_law",
    "medical_genetics", "professional_psychology", "jurisprudence", "world_religions", "philosophy", "virology",
    "high_school_chemistry", "public_relations", "high_school_macroeconomics", "human_sexuality",
    "elementary_mathematics", "high_school_physics", "high_school_computer_science", "high_school_european_history",
    "business_ethics", "moral_disputes", "high_school_statistics", "miscellaneous", "formal_logic",
    "high_school_government_and_politics", "prehistory", "security_studies", "high_school_biology",
    "logical_fallacies", "high_school_world_history", "professional_medicine", "high_school_mathematics",
    "college_medicine", "high_school_us_history", "sociology", "econometrics", "high_school_psychology",
    "human_aging", "us_foreign_policy", "conceptual_physics",
)  # fmt: skip
COLUMNS = ("input", *"ABCD", "target")


@dataclass(frozen=True)
class MMLU(Exam):
    """As OpenCompass 0.3.1 asks and marks it (`mmlu_gen_4d595a`), out of the authors' own archive."""

    name = "mmlu"
    official = "mmlu-4d595a"
    archive = "mmlu/data.tar"
    hints = {subject: subject.replace("_", " ") for subject in ORDER}  # noqa: RUF012 (declared by Exam)
    groups = {"humanities": HUMANITIES, "stem": STEM, "social-science": SOCIAL_SCIENCE, "other": OTHER}  # noqa: RUF012
    question = (
        "There is a single choice question about {hint}. Answer the question by replying A, B, C or D.\n"
        "Question: {input}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nAnswer: "
    )
    reply = "{target}\n"
    letter = "target"

    def tables(self, data: DataFolder) -> dict[str, tuple[list[Columns], list[Columns]]]:
        """The dev and test rows of every subject: tables of six columns without a header."""
        try:
            with tarfile.open(fileobj=io.BytesIO(data.read(self.archive)), mode="r:") as archive:
                return {subject: (self._rows(archive, subject, "dev"), self._rows(archive, subject, "test"))
                        for subject in self.hints}  # fmt: skip
        except tarfile.TarError as error:
            raise BadFile(f"{self.archive} is no sound tar archive", why=str(error), mend="fetch it again") from None

    def _rows(self, archive: tarfile.TarFile, subject: str, split: str) -> list[Columns]:
        member = f"data/{split}/{subject}_{split}.csv"
        try:
            file = archive.extractfile(member)
        except KeyError:
            file = None
        if file is None:
            raise BadFile(f"{self.archive} lacks {member}", mend="use the upstream archive")
        rows = table(file.read(), member)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(COLUMNS):
                raise BadFile(f"row {number} of {member} has {len(row)} columns", why=f"{len(COLUMNS)} are needed",
                              mend="use the upstream archive")  # fmt: skip
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def extract(self, answer: str) -> str:
        """The letter of the first fitting phrase."""
        return first_option(answer, "ABCD")
