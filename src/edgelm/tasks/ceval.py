"""C-Eval: 52 Chinese subjects, 4 choices, 5 exemplars, the labelled val rows; the first capital letter counts."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, MissingInput
from edgelm.tasks.exams import Columns, Exam, table
from edgelm.tasks.options import first_capital

STEM = {
    "computer_network": "计算机网络", "operating_system": "操作系统", "computer_architecture": "计算机组成",
    "college_programming": "大学编程", "college_physics": "大学物理", "college_chemistry": "大学化学",
    "advanced_mathematics": "高等数学", "probability_and_statistics": "概率统计", "discrete_mathematics": "离散数学",
    "electrical_engineer": "注册电气工程师", "metrology_engineer": "注册计量师", "high_school_mathematics": "高中数学",
    "high_school_physics": "高中物理", "high_school_chemistry": "高中化学", "high_school_biology": "高中生物",
    "middle_school_mathematics": "初中数学", "middle_school_biology": "初中生物", "middle_school_physics": "初中物理",
    "middle_school_chemistry": "初中化学", "veterinary_medicine": "兽医学",
}  # fmt: skip
SOCIAL_SCIENCE = {
    "college_economics": "大学经济学", "business_administration": "工商管理", "marxism": "马克思主义基本原理",
    "mao_zedong_thought": "毛泽东思想和中国特色社会主义理论体系概论", "education_science": "教育学",
    "teacher_qualification": "教师资格", "high_school_politics": "高中政治", "high_school_geography": "高中地理",
    "middle_school_politics": "初中政治", "middle_school_geography": "初中地理",
}  # fmt: skip
HUMANITIES = {
    "modern_chinese_history": "近代史纲要", "ideological_and_moral_cultivation": "思想道德修养与法律基础",
    "logic": "逻辑学", "law": "法学", "chinese_language_and_literature": "中国语言文学", "art_studies": "艺术学",
    "professional_tour_guide": "导游资格", "legal_professional": "法律职业资格", "high_school_chinese": "高中语文",
    "high_school_history": "高中历史", "middle_school_history": "初中历史",
}  # fmt: skip
OTHER = {
    "civil_servant": "公务员", "sports_science": "体育学", "plant_protection": "植物保护", "basic_medicine": "基础医学",
    "clinical_medicine": "临床医学", "urban_and_rural_planner": "注册城乡规划师", "accountant": "注册会计师",
    "fire_engineer": "注册消防工程师", "environmental_impact_assessment_engineer": "环境影响评价工程师",
    "tax_accountant": "税务师", "physician": "医师资格",
}  # fmt: skip
HARD = (
    "advanced_mathematics", "discrete_mathematics", "probability_and_statistics", "college_chemistry",
    "college_physics", "high_school_mathematics", "high_school_chemistry", "high_school_physics",
)  # fmt: skip
LARGEST = 16 << 20  # bytes of a table; upstream's are below 1 MiB


@dataclass(frozen=True)
class CEval(Exam):
    """As OpenCompass 0.3.1 asks and marks it (`ceval_gen_5f30c7`), out of the authors' own archive.

    Two editions of that archive are in circulation and no digest of either is published with it, so that none is
    pinned here: the archive is read from a folder that its own `suite.json` describes.
    """

    name = "ceval"
    official = "ceval-5f30c7"
    archive = "ceval/ceval-exam.zip"
    hints = STEM | SOCIAL_SCIENCE | HUMANITIES | OTHER
    groups = {"stem": tuple(STEM), "social-science": tuple(SOCIAL_SCIENCE), "humanities": tuple(HUMANITIES),  # noqa: RUF012
              "other": tuple(OTHER), "hard": HARD}  # fmt: skip
    question = (
        "以下是中国关于{hint}考试的单项选择题，请选出其中的正确答案。\n"
        "{question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\n答案: "
    )  # fmt: skip
    reply = "{answer}"
    letter = "answer"

    def tables(self, data: DataFolder) -> dict[str, tuple[list[Columns], list[Columns]]]:
        """The dev and val rows of every subject: tables with a header; the test rows have no answers."""
        if self.archive not in data.names:
            raise MissingInput(
                "C-Eval is read from a folder of its own",
                why="its authors publish no digest that could be pinned",
                mend=f"place ceval-exam.zip (huggingface.co/datasets/ceval/ceval-exam) at {self.archive} in a folder, "
                f'write suite.json beside ceval/: {{"name": "ceval-exam", "files": {{"{self.archive}": '
                '"SHA256 OF THE ZIP"}}, and give that folder as --data',
            )
        try:
            with zipfile.ZipFile(io.BytesIO(data.read(self.archive))) as archive:
                return {subject: (self._rows(archive, subject, "dev"), self._rows(archive, subject, "val"))
                        for subject in self.hints}  # fmt: skip
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadFile(f"{self.archive} is no sound zip archive", why=str(error), mend="get it again") from None

    def _rows(self, archive: zipfile.ZipFile, subject: str, split: str) -> list[Columns]:
        member = f"{split}/{subject}_{split}.csv"
        if member not in archive.namelist():
            raise BadFile(f"{self.archive} lacks {member}", mend="use the upstream archive")
        with archive.open(member) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise BadFile(f"{member} in {self.archive} is too large", mend="use the upstream archive")
        header, *rows = table(content, member) or [[]]
        found: list[Columns] = []
        for number, row in enumerate(rows, start=1):
            columns = dict(zip(header, row, strict=False))
            if lacking := {"question", "A", "B", "C", "D", "answer"} - set(columns):
                raise BadFile(f"row {number} of {member} lacks {', '.join(sorted(lacking))}",
                              mend="use the upstream archive")  # fmt: skip
            found.append({**columns, "explanation": columns.get("explanation", "")})
        return found

    def extract(self, answer: str) -> str:
        """The first upper-case character, of any script."""
        return first_capital(answer)
