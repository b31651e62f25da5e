"""The table in a text: separators, the header's line, Markdown, and tables on their side."""

import pytest

from edgelm.errors import BadFile
from edgelm.results.table import table


def texts(found):
    return [[cell.text for cell in row] for row in [found.header, *found.rows]]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_the_one_that_makes_columns(separator):
    found = table(f"Model{separator}GSM8K{separator}TruthfulQA\nphi-2{separator}1.97{separator}2\n")
    assert texts(found) == [["Model", "GSM8K", "TruthfulQA"], ["phi-2", "1.97", "2"]]
    assert found.decimal_comma is (separator != ",") is bool(found.odd)


def test_decimal_commas_do_not_make_columns():
    assert texts(table("Model;GSM8K;CHID\nphi-2;1,97;2,5\n"))[1] == ["phi-2", "1,97", "2,5"]


def test_cells_know_their_place():
    found = table("our results\n\nModel,GSM8K\n\nphi-2,1.97\n")
    assert found.rows[0][1] == ("1.97", 5, 2)
    assert found.odd == ["the header is found in line 3"]


def test_the_markdown_table_with_the_most_columns():
    text = (
        "|a|b|\n|-|-|\n|1|2|\n\n| GSM8K |\n|---|\n| 9 |\n\nModel|GSM8K|CHID\n:--|--:|--\n**phi**|1.97|`2`\nno table\n"
    )
    found = table(text)
    assert texts(found) == [["Model", "GSM8K", "CHID"], ["phi", "1.97", "2"]]
    assert found.rows[0][0].line == 11


def test_bars_without_a_markdown_table_are_text():
    assert texts(table("Model,GSM8K\na|b,1\n")) == [["Model", "GSM8K"], ["a|b", "1"]]


@pytest.mark.parametrize("corner", ["", "Task", "Model"])
def test_a_table_on_its_side_is_turned(corner):
    found = table(f"{corner},phi-2,qwen-7b\nGSM8K,1,2\nCHID,3,4\nBBH,5\n")
    assert texts(found) == [["Model", "GSM8K", "CHID", "BBH"], ["phi-2", "1", "3", "5"], ["qwen-7b", "2", "4", ""]]
    assert "the columns stand as rows" in found.odd


def test_names_and_values_in_two_columns():
    assert texts(table("GSM8K,1\nCHID,3\n")) == [["GSM8K", "CHID"], ["1", "3"]]


def test_the_long_form_is_known_by_its_header():
    assert table("dataset,version,metric,mode,m\ngsm8k,1d7fe4,accuracy,gen,1\nbbh,-,a,gen,2\n").is_long
    assert not table("Model,GSM8K\nphi-2,1\n").is_long


@pytest.mark.parametrize("text", ["\n\n", "a,b\n1,2\n", "GSM8K\n", "|a|\n|-|\n|1|\n"])
def test_what_holds_no_table_of_figures(text):
    with pytest.raises(BadFile):
        table(text)


@pytest.mark.parametrize(
    "text", ["|" * 500_000 + "\n" + "-" * 500_000, "|\n" * 500_000, "|-" * 500_000, "\n|-x" * 250_000]
)
def test_bars_and_dashes_without_end_take_no_time(text):
    with pytest.raises(BadFile):
        table(text)
