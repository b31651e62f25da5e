"""What a fair reader takes an answer to say, however it is put."""

import pytest

from edgelm.tasks.reading import choice, number, options, says

PLACES = {"A": "bank", "B": "river bank", "C": "a library", "D": "desert", "E": "mall"}
IDIOMS = {"A": "画蛇添足", "B": "守株待兔", "C": "亡羊补牢"}


@pytest.mark.parametrize(("answer", "letter"), [
    ("So the answer is B.", "B"), ("So the answer is (B).", "B"), ("So the answer is b", "B"),
    ("THE ANSWER IS: b)", "B"), ("My answer would be B, not A", "B"), ("the answer is **B**, a river", "B"),
    ("**Answer:** B", "B"), ("Answer: (B) river bank", "B"), ("The answer is\n\nB", "B"),
    ("So the answer is option B", "B"), ("the correct choice is B, not C", "B"), ("The answer is probably B", "B"),
    (r"The answer is $\boxed{B}$.", "B"), (r"the answer is \(\text{B}\)", "B"), ("The answer is Ｂ。", "B"),
    ("the answer is B) river", "B"), ("The answer is A. Wait, no: so the answer is B.", "B"),
    ("So the answer is B. I hope that answers it, A or C!", "B"), ("The answer is B because C is wrong", "B"),
    ("The answer is A because it is", "A"), ("the answer is not A but B", "B"),
    ("the answer is not (A), it is (B)", "B"), ("the answer is a bank", "A"), ("the answer is a river bank", "B"),
    ("The answer is E, e.g. a shop", "E"), ("So the answer is A mall", "E"), ("So the answer is the mall.", "E"),
    ("The answer is bank or mall", ""), ("B", "B"), ("b", "B"), (" (b)", "B"),
    ("B. river bank, for C is too quiet", "B"), ("B: yes", "B"), ("*B*", "B"), ("I think it is B", "B"),
    ("A is wrong, C is wrong, so it is B", "B"), ("A river bank.", "B"), ("A place such as the mall", "E"),
    ("It's Bob's", ""), ("F", ""), ("", ""), ("I'd go with B", "B"), ("answer is\n\n", ""), ("the answer is F", ""),
    ("So the answer is Banana", ""), ("the answer is BE", ""),
    ("So the answer is B.\n\nQ: Where?\nA: So the answer is C.", "B"), ("Q: Where?\nA: B", "B"),
])  # fmt: skip
def test_choices(answer, letter):
    assert choice(answer, PLACES) == letter


@pytest.mark.parametrize(("answer", "letter"), [
    ("B", "B"), ("（B）", "B"), ("Ｂ", "B"), ("答案是B。", "B"), ("答案应该是B，不选C。", "B"),
    ("正确选项为B，A不对", "B"), ("答案：**B**", "B"), ("应填 守株待兔，选 B。", "B"), ("选B", "B"), ("守株待兔", "B"),
    ("应该填“守株待兔”。", "B"), ("答案是守株待兔。", "B"), ("守株待兔，不是亡羊补牢", ""), ("b选项", "B"),
    ("The answer is B", "B"), ("Å: B", "B"), ("A和C都不对，应选B", "B"), ("请从A，B，C中进行选择。答：B", "B"),
    ("", ""),
])  # fmt: skip
def test_idioms(answer, letter):
    assert choice(answer, IDIOMS) == letter


def test_options_are_read_out_of_the_question():
    assert options(" A. bank\nB. in (B) Rome\nC) c\n(D) d\nE. \nA: Let's think") == {
        "B": "in (B) Rome", "C": "c", "D": "d", "E": "",
    }  # fmt: skip
    assert options("") == {}


@pytest.mark.parametrize(("answer", "value"), [
    ("The answer is 18", "18"), ("The answer is $1,000.", "1000"), ("The answer is 18. Hope 2 help", "18"),
    ("#### 18", "18"), ("The answer is 18 dollars for 2 people", "18"), ("The answer is **18** eggs.", "18"),
    ("Answer: 18", "18"), ("18", "18"), ("The answer is 9 * 2 = $18", "18"), ("the answer is that she earns 18", "18"),
    (r"\boxed{18}", "18"), ("The answer is 1,234,567.89", "1234567.89"),
    ("The answer is 3. No: the answer is 18.", "18"), ("10-5", "5"), ("10 - 5 is -5", "-5"), ("−5", "-5"),
    ("The answer is -$5", "-5"), ("first 3, then 4, so 18 of them", "18"), ("1, 2, 18", "18"), ("1,18", "18"),
    ("The answer is .5", ".5"), ("from 3 to\nAnswer: 18\n\nQuestion: 4?", "18"),
    ("the answer is unknown, 18 perhaps", "18"), ("So 18. The answer is clear.", "18"), ("eighteen", ""), ("", ""),
    ("The answer is 18.00", "18.00"), ("The answer is １８", "18"), ("The answer is x = 18.", "18"),
    ("the answer is 18%", "18"), ("The answer is 5-18", "5"), ("12,34", "34"),
])  # fmt: skip
def test_numbers(answer, value):
    assert number(answer) == value


@pytest.mark.parametrize(("answer", "reference", "right"), [
    ("So the answer is Yes.", "yes", True), ("answer is: **Yes**, because no", "Yes", True),
    ("So the answer is no. The answer is yes", "yes", True), ("Well\nYes", "yes", True),
    ("yes, it is\nNo", "yes", False), ("the answer is yesterday", "yes", False), ("", "yes", False),
    ("the answer is valid.", "invalid", False), ("the answer is invalid", "valid", False),
    ("The answer is not valid", "valid", False), ("The answer is \"True\"", "True", True),
    ("the answer is true and false", "True", True), ("So the answer is 24.0.", "24", True),
    ("the answer is (4 + 20) = 24", "24", True), ("the answer is -24", "24", False), ("24 apples", "24", True),
    ("the answer is ])}.", "] ) }", True), ("the answer is `] ) }`", "] ) }", True),
    ("the answer is ] )", "] ) }", False), ("the answer is ant, bee, cow.", "ant bee cow", True),
    ("the answer is Ant bee cow", "ant bee cow", True), ("the answer is ant bee cow dog", "ant bee cow", False),
    ("the answer is ant bee", "ant bee cow", False),
    ("The answer is Dearth, Wind, & Fire", "dearth, wind, & fire", True), ("the answer is it&t", "it&t", True),
])  # fmt: skip
def test_texts(answer, reference, right):
    assert says(answer, reference) is right
