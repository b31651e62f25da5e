"""Questions that stand in public texts are found by runs of words."""

from edgelm.tasks.holdout.overlap import RUN, Questions, runs, words

LONG = " ".join(f"word{n}" for n in range(20))
CHINESE = "以下是中国关于计算机网络考试的单项选择题请选出"


def test_words_are_in_one_case_and_han_characters_by_themselves():
    assert words("The Cat's 3, 守株x待!") == ("the", "cat", "s", "3", "守", "株", "x", "待")
    assert words("...") == ()


def test_a_short_text_is_one_run():
    assert runs("one two") == {("one", "two")} and runs("") == set()
    assert len(runs(LONG)) == 20 - RUN + 1


def test_a_shared_run_is_met_whatever_stands_around_it():
    asked = Questions([f"First: {LONG}?", "nothing of the kind", CHINESE, "A short one!"])
    assert asked.met_in([f"before {LONG.upper()}, and after"]) == {0}
    assert asked.met_in([f"前{CHINESE}后", "a short one"]) == {2, 3}
    assert asked.met_in([" ".join(f"word{n}" for n in range(RUN - 1)), "a short one and more"]) == set()


def test_what_all_questions_share_is_their_template():
    template = "Please answer the following question about sheep with one word and nothing else at all: "
    asked = Questions([template + "how many?", template + "how old?"])
    assert asked.met_in([template + "why?"]) == set()
    assert asked.met_in([template + "how old?"]) == {1}
