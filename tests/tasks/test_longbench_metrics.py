"""LongBench's metrics: marks that OpenCompass 0.3.1 gave for these answers, in millionths."""

import pytest

from edgelm.tasks import longbench_metrics as metrics
from edgelm.tasks.longbench_metrics import Reference

CLASSES = ("Title", "person", "Title of a person", "Date", "a person", "Individual")
MARKS = {
    metrics.f1_english: [
        ("", ["x"], 0), ("x", [""], 0), ("", [""], 0), ("x", [], 0), ("the", ["the"], 0),
        ("The cat!", ["a cat"], 1000000), ("a cat sat", ["cat sat down", "a cat sat"], 1000000),
        ("cat cat dog", ["cat dog dog"], 666667), ("It's", ["its"], 1000000), ("naïve CAFÉ", ["Naïve café"], 1000000),
        ("İstanbul", ["i̇stanbul"], 1000000), ("one\xa0two\u3000three\u2028four", ["one two three four"], 1000000),
        ("— x", ["x"], 666667), ("“x”", ["x"], 0), ("theatre an-other", ["theatre another"], 1000000),
        ("answer is 5.0 percent", ["5.0", "0.05 F1", "5 percent points."], 400000),
        ("x_y", ["xy"], 1000000), ("a_b", ["b"], 0),
    ],
    metrics.f1_chinese: [
        ("", ["北京"], 0), ("北京", [""], 0), ("。，", ["，"], 0), ("北京大学", ["北京大学"], 1000000),
        ("我在北京大学读书。", ["他在北京大学读书"], 750000), ("2012年，增长了25.89%。", ["增长了25.89%"], 750000),
        ("GDP增长", ["gdp 增长"], 1000000), ("《红楼梦》", ["红楼梦"], 666667),
        ("红\u3000楼\t梦", ["红 楼 梦"], 1000000), ("Hello，世界 🙂", ["hello 世界"], 800000),
        ("研究生命起源", ["研究生 命 起源", "研究 生命 起源"], 1000000),
    ],
    metrics.rouge_english: [
        ("", ["x"], 0), ("x", [""], 0), (".", ["x"], 0), ("...", ["x"], 0), (" ", [" "], 1000000), (" ", ["x"], 0),
        ("x", [], 0), ("x. . y", ["x y"], 800000), ("a b a b a", ["b a b a b"], 1000000), ("Cat", ["cat"], 0),
        ("the cat sat on the mat", ["the cat lay on a mat. it slept"], 615385),
        ("a b c. d e f", ["d e f. a b c"], 1000000), ("a b c d", ["d c b a"], 250000),
        ("c b a. b c", ["a b c"], 666667), ("x y y", ["y x"], 500000), ("1.5 million", ["1 5 million"], 1000000),
        ("one\ntwo\u3000three", ["one two three"], 1000000), ("b", ["a", "b", "c"], 1000000),
        ("u v w x", ["w x u v"], 500000), ("x w v u", ["u v w x. v u"], 750000),
    ],
    metrics.rouge_chinese: [
        ("", ["北京"], 0), ("", [""], 0), ("。", ["。"], 1000000), ("我爱北京天安门", ["我爱北京天安门"], 1000000),
        ("我爱北京天安门。天安门上太阳升", ["太阳升在北京"], 200000),
        ("会议讨论了预算.通过了计划", ["会议通过了预算计划", "讨论计划"], 909091),
        ("增长25.89%", ["增长 25.89 %"], 571429),
    ],
    metrics.classification: [
        ("Individual", ["Individual"], 1000000), ("Individual or Date", ["Individual"], 500000), ("", ["Date"], 0),
        ("individual", ["Individual"], 0), ("Title of a person", ["Title of a person"], 500000),
        ("Title of a person Date", ["Title of a person"], 333333), ("Title of a person", ["person"], 250000),
        ("Date Date", ["Date", "Date"], 2000000), ("Individual Date", ["Individual", "Date"], 1000000),
        ("Other", ["Other"], 0),
    ],
    metrics.count: [
        ("3", ["3"], 1000000), ("03", ["3"], 0), ("3 or 4", ["3"], 500000), ("3 of 3", ["3"], 1000000),
        ("three", ["3"], 0), ("", ["3"], 0), ("1,003", ["3"], 0), ("３", ["3"], 0), ("٣", ["٣"], 1000000),
        ("3.0", ["3"], 500000), ("-3", ["3"], 1000000), ("3 4", ["3", "4"], 1000000),
    ],
    metrics.retrieval_english: [
        ("Paragraph 7", ["Paragraph 7"], 1000000), ("7", ["Paragraph 7"], 1000000), ("17", ["Paragraph 7"], 0),
        ("Paragraph 7, 8", ["Paragraph 7"], 500000), ("", ["Paragraph 7"], 0),
        ("7", ["Paragraph 7 or Paragraph 8"], 1000000), ("7 8", ["Paragraph 7", "Paragraph 8"], 1000000),
    ],
    metrics.retrieval_chinese: [
        ("段落7", ["段落7"], 1000000), ("第7段", ["段落7"], 1000000), ("段落7，段落8。", ["段落7"], 500000),
        ("段落七", ["段落7"], 0), ("７", ["段落７"], 1000000),
    ],
    metrics.code_similarity: [
        ("", [""], 1000000), ("", ["x = 1"], 0), ("x=1", ["x = 1"], 750000), ("\n\nx = 1\ny", ["x = 1"], 1000000),
        ("```python\nx = 1", ["x = 1"], 1000000), ("# c\n// d\nx = 1", ["x = 1"], 1000000),
        ("u = 'http://a'\nx", ["u = 'http://a'"], 0), ("`", ["x"], 0), ("`", [""], 1000000), (" \nx", ["x"], 0),
        ("    return a", ["return a"], 800000), ("abcdefgh", ["abxdexgh"], 750000), ("aab", ["ab"], 800000),
        ("a", ["aaaaaaaaaaaaaaa"], 120000),  # 12.5 per cent is rounded to the even 12
        ("x\ny", ["y", "x"], 1000000), ("#\n#", ["q", ""], 1000000), ("日本", ["日本語"], 800000),
        ("a\r\nb", ["a"], 670000), ("aaaaaaa", ["aaaaaaaaa"], 880000), ("abc", ["xbz", "abz"], 670000),
    ],
}  # fmt: skip
CASES = [(metric, *case) for metric, cases in MARKS.items() for case in cases]


@pytest.mark.parametrize(("metric", "answer", "references", "mark"), CASES)
def test_marks_are_those_of_opencompass(metric, answer, references, mark):
    assert round(metric(answer, Reference(tuple(references), CLASSES)) * 1_000_000) == mark


@pytest.mark.parametrize(("classes", "answer", "right", "share"), [
    (("a", "b", "ab"), "a b ab", "ab", 1 / 2), (("ab", "a", "b"), "a b ab", "ab", 1 / 2),
    (("体育", "体育新闻"), "体育新闻", "体育", 1 / 2), (("", " ", "x"), "x", "x", 1),
])  # fmt: skip
def test_a_class_behind_a_removed_one_is_not_looked_at(classes, answer, right, share):
    assert metrics.classification(answer, Reference((right,), classes)) == share


@pytest.mark.parametrize(("answer", "right", "share"), [
    ("Title of a person", ("Title of a person",), 1), ("Title of a person or Date", ("Title of a person",), 1 / 2),
    ("Title of a person", ("person",), 1 / 4), ("Date Date", ("Date", "Date"), 1), ("no", ("Date",), 0),
    ("Individual Date", ("Individual", "Date"), 1 / 2),
])  # fmt: skip
def test_the_fixed_scorer_looks_at_all_classes(answer, right, share):
    assert metrics.classification_fixed(answer, Reference(right, CLASSES)) == share
