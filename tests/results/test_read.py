"""The files that teams handed in, each read or refused with the mend that helps; the shapes that programs leave."""

from __future__ import annotations

import codecs
import io
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

import edgelm
from edgelm.errors import MissingInput
from edgelm.results.base import MEAN, MIB, PERCENT, TOKENS
from edgelm.results.canonical import proposal
from edgelm.results.read import read_file
from edgelm.submission import HEADER

PLAIN = ",".join(HEADER) + "\nphi-2,60.03,50.00,40.03,,30.49,20.03,28.03,123.40,5000.00\n"


def codes(claims) -> list[str]:
    return sorted({note.code for note in claims.notes})


def said(claims, code) -> str:
    return "\n".join(f"{note.what} {note.mend}" for note in claims.notes if note.code == code)


def value(claims, slot, column):
    return claims.values[slot][column].canonical


def test_the_kits_template_was_not_filled_in(seen):
    claims = seen("template")
    assert codes(claims) == ["CLM-06", "CLM-07"]
    assert all(not figure.value for figure in claims.figures) and len(claims.figures) == 9


def test_a_column_of_another_data_set_is_ignored_and_the_tasks_own_is_missed(seen):
    claims = seen("earlier-kit")
    assert codes(claims) == ["CLM-02", "CLM-05", "CLM-06"]
    assert "“crowspairs_gen”: no task of this track" in said(claims, "CLM-02")
    assert "TruthfulQA" in said(claims, "CLM-05")


def test_the_kits_example_is_empty_and_spelled_otherwise(seen):
    claims = seen("example")
    assert codes(claims) == ["PKG-08", "PKG-09"] and not claims.figures
    assert "Results.CSV" in said(claims, "PKG-08") and "edgelm results" in said(claims, "PKG-09")


def test_one_row_for_three_models_is_their_mean(seen):
    claims = seen("one-row")
    assert codes(claims) == ["CLM-04", "CLM-05", "CLM-07", "CLM-11"]
    assert list(claims.values) == [MEAN]
    assert value(claims, MEAN, "TruthfulQA") == Fraction(173, 10)
    assert claims.values[MEAN]["TruthfulQA"].assumed == "a fraction"
    assert value(claims, MEAN, "Memory-Usage") == Fraction(8573243, 1000)
    assert claims.values[MEAN]["Memory-Usage"].assumed.startswith(MIB)
    (speed,) = [figure for figure in claims.figures if figure.column == "Throughput"]
    assert (speed.value, speed.text) == (None, "23.097")
    assert proposal(claims).splitlines()[1] == "mean,26.51,21.377,12.6,,11.59,28.123,17.3,,8573.243"


def test_zero_stays_zero_and_memory_in_no_unit_names_those_that_fit(seen):
    claims = seen("from-scratch", sizes={"model": 900_000_000})
    assert codes(claims) == ["CLM-04", "CLM-05", "CLM-11", "CLM-12"]
    assert value(claims, "model", "HumanEval") == 0
    assert "41: GB or GiB would hold the checkpoint's 900,000,000 bytes" in said(claims, "CLM-12")
    assert proposal(claims).splitlines()[1] == "model,8.93,16.80,2.43,,0.00,3.75,15,,"


def test_opencompasss_summary_gives_the_part_metric_and_group_that_count(seen):
    claims = seen("summary")
    row = {column: figure.canonical for column, figure in claims.values["model"].items()}
    assert row == {"CommonsenseQA": Fraction("8.93"), "CHID": Fraction("3.75"), "HumanEval": 0, "GSM8K":
                   Fraction("2.43"), "TruthfulQA": 15, "BIG-Bench-Hard": Fraction("16.8")}  # fmt: skip
    details = {figure.column: figure.value for figure in claims.details}
    assert details == {"chid-dev accuracy": Fraction("3.47"), "bbh-navigate score": 0, "bbh-snarks score":
                       Fraction("52.81"), "truthful_qa bleu_max": Fraction("0.06"), "truthful_qa bleu_diff":
                       Fraction("-0.02")}  # fmt: skip
    assert codes(claims) == ["CLM-04", "CLM-07", "CLM-13"]
    assert "“nano_converted_hf” is taken for model" in said(claims, "CLM-07")


def test_a_summary_by_other_prompts_than_the_rules_pin(seen, says, files):
    assert "RPT-03" not in codes(seen("summary"))
    claims = says(files["summary"][2].replace("1d7fe4", "0123ab"), "Summary.csv", "from-scratch")
    assert "GSM8K by version 0123ab, the rules pin 1d7fe4" in said(claims, "RPT-03")


def test_a_file_with_other_headers_and_no_last_newline(seen):
    claims = seen("lower-case")
    assert codes(claims) == ["CLM-02", "CLM-04", "CLM-05", "CLM-11", "CLM-13", "PKG-08"]
    assert "“GPU Memory Usage” is read as Memory-Usage" in said(claims, "CLM-02")
    assert value(claims, "model", "Memory-Usage") == Fraction(1_900_000_000, 2**20)
    assert claims.values["model"]["Memory-Usage"].assumed.startswith("GB")
    assert "newline" in said(claims, "CLM-13")


def test_units_and_pairs_in_cells(seen):
    claims = seen("with-units")
    assert codes(claims) == ["CLM-02", "CLM-03", "CLM-04", "CLM-05", "CLM-07"]
    assert [(figure.value, figure.unit) for figure in claims.figures
            if figure.column == "Throughput" and figure.slot == "llama-3-8b"] == [
        (Fraction("71.61"), "inferences/s"), (Fraction("0.014"), "s")]  # fmt: skip
    assert "71.61 inferences/s and 0.014 s, which cannot be compared with tokens/s" in said(claims, "CLM-03")
    assert value(claims, "llama-3-8b", "Memory-Usage") == Fraction(8_755_000_000, 2**20)
    assert "“Phi” is taken for phi-2" in said(claims, "CLM-07")
    assert [line.partition(",")[0] for line in proposal(claims).splitlines()[1:]] == ["phi-2", "llama-3-8b", "qwen-7b"]


def test_columns_that_seem_to_be_exchanged(seen):
    claims = seen("readme")
    assert {"CLM-05", "CLM-07", "CLM-09", "CLM-13"} <= set(codes(claims)) and "CLM-04" not in codes(claims)
    doubts = said(claims, "CLM-09").splitlines()
    assert len(doubts) == 3
    assert "40.24 is no k of 1,319, but could be of 164: exchanged with HumanEval?" in doubts[0]
    assert "63.31 is no k of 164, but could be of 1,319: exchanged with GSM8K?" in doubts[1]
    assert "0.29 is no k of 2,002" in doubts[2] and "exchanged with TruthfulQA?" in doubts[2]
    assert value(claims, "llama-3-8b", "GSM8K") == Fraction("40.24")  # nothing is exchanged back in silence


# The canonical form


def test_the_canonical_form_is_read_without_a_word(says):
    claims = says(PLAIN.replace(",,", ",1.00,") + "llama-3-8b,,,,,,,,,\nqwen-7b,1.97,,,,,,,,\n")
    assert not [note for note in claims.notes if note.what != "no row for llama-3-8b"]
    row = claims.values["phi-2"]
    assert {figure.unit for figure in row.values()} == {PERCENT, TOKENS, MIB}
    assert all(not figure.assumed for figure in row.values())


@pytest.mark.parametrize("change", [
    lambda text: codecs.BOM_UTF8 + text.encode(), lambda text: text.encode("utf-16"),
    lambda text: text.encode("utf-16-le"), lambda text: text.encode("utf-16-be"), lambda text: text.encode("utf-32"),
    lambda text: text.replace("\n", "\r\n").encode(), lambda text: text.replace("\n", "\r").encode(),
    lambda text: text.rstrip("\n").encode(), lambda text: text.replace(",", ";").encode(),
    lambda text: text.replace(",", ";").replace(".", ",").encode(), lambda text: text.replace(",", "\t").encode(),
    lambda text: text.replace(",", "\t").replace(".", ",").encode(),
    lambda text: b"sep=;\n" + text.replace(",", ";").encode(),
    lambda text: b"Results of our team\n\n" + text.encode(), lambda text: (text + "Größe,,,").encode("latin-1"),
    lambda text: "\n".join(map(",".join, zip(*(line.split(",") for line in text.splitlines()), strict=True))).encode(),
    lambda text: "\n".join([f"|{line.replace(',', '|')}|" + ("\n|" + "-|" * 10 if number == 0 else "")
                            for number, line in enumerate(text.splitlines())]).encode(),
])  # fmt: skip
def test_however_a_table_is_saved_its_figures_are_the_same_and_what_is_unusual_is_said(says, change):
    plain = {column: figure.value for column, figure in says(PLAIN).values["phi-2"].items()}
    claims = says(change(PLAIN))
    assert {column: figure.value for column, figure in claims.values["phi-2"].items()} == plain
    assert "CLM-13" in codes(claims)


def test_quoted_cells(says):
    claims = says('"Model","GSM8K"\n"phi-2"," 1.97 "\n')
    assert value(claims, "phi-2", "GSM8K") == Fraction("1.97")
    assert value(says('Model,GSM8K\n"phi\n-2",1.97\n'), "phi-2", "GSM8K") == Fraction("1.97")


@pytest.mark.parametrize(("cell", "code", "read_as"), [
    ("NaN", "CLM-08", None), ("inf", "CLM-08", None), ("-Infinity", "CLM-08", None), ("-1", "CLM-08", None),
    ("100.01", "CLM-08", None), ("-", "CLM-03", None), ("n/a", "CLM-03", None), ("=1+1", "CLM-03", None),
    ("about 5", "CLM-03", None), ("12/164", "CLM-03", None), ("1e2", "CLM-03", 100),
    ("17.3%", "CLM-03", Fraction("17.3")), ("17.3 %", "CLM-03", Fraction("17.3")),
    ("１７．３", "CLM-03", Fraction("17.3")),
    ("5 GB", "CLM-03", None), ("1e999999999", "CLM-03", None), ("9" * 300, "CLM-03", None),
])  # fmt: skip
def test_cells_that_are_no_plain_numbers(says, cell, code, read_as):
    claims = says(f"Model,GSM8K,HumanEval\nphi-2,{cell},0.61\n")
    assert code in codes(claims)
    assert f"line 2, GSM8K: {cell[:40]}" in said(claims, code)
    row = claims.values["phi-2"]
    assert row["HumanEval"].value == Fraction("0.61")
    assert (row["GSM8K"].value if "GSM8K" in row else None) == read_as
    assert (proposal(claims).splitlines()[1].split(",")[3] == "") is (read_as is None)


def test_a_formula_is_kept_as_text_and_never_handed_on(says):
    claims = says('Model,GSM8K,HumanEval\nphi-2,"=HYPERLINK(""http://x"")",0.61\n')
    (text,) = [figure for figure in claims.figures if figure.value is None]
    assert text.text.startswith("=") and "a formula" in said(claims, "CLM-03")
    assert "=" not in proposal(claims)


def test_a_comma_for_the_decimal_point_between_commas_is_not_guessed_at(says):
    claims = says("Model,GSM8K,HumanEval\nphi-2,40,24,63,31\n")
    assert not claims.figures and "5 cells for 3 columns" in said(claims, "CLM-03")
    assert "points" in said(claims, "CLM-03")


@pytest.mark.parametrize(("header", "unit", "stored"), [
    ("Memory (GB)", MIB, Fraction(5 * 10**9, 2**20)), ("Peak Memory [MiB]", MIB, 5),
    ("Throughput (tokens/s)", TOKENS, 5), ("Throughput (tok/s)", TOKENS, 5), ("tokens/s", TOKENS, 5),
    ("GSM8K (%)", PERCENT, 5),
    ("TruthfulQA (6 datasets)", PERCENT, 5),
])  # fmt: skip
def test_a_header_may_state_the_unit(says, header, unit, stored):
    claims = says(f"Model,{header}\nphi-2,5\n")
    ((figure,),) = [list(row.values()) for row in claims.values.values()]
    assert (figure.unit, figure.value, figure.assumed) == (unit, stored, "")
    assert not {"CLM-11", "CLM-12"} & set(codes(claims))


# What is no table


def workbook() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return data.getvalue()


@pytest.mark.parametrize(("data", "what", "mend"), [
    (workbook(), "Excel workbook", "CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old Excel", "CSV"),
    (b"<!DOCTYPE html><html><table><tr><td>GSM8K</td></tr></table></html>", "web page", "CSV UTF-8"),
    (b"%PDF-1.7\n", "PDF", "CSV"), (b"GSM8K\0\0\0,1", "no text", "CSV"), (b"GSM8K,HumanEval\n", "no row", "row"),
    (b"{\"gsm8k\": 5}\n", "no line names a column", "Model,CommonsenseQA"), (b"1,2,3\n", "no line names", "header"),
    (codecs.BOM_UTF8, "blank lines", "header"), (b"\xff\xfe\x00", "damaged", "UTF-8"),
    (b"GSM8K\n" + b"5" * 200_000, "too long", "one number a cell"),
    (b"GSM8K\n" + b"x" * (50 << 20), "bytes", "figures"),
    (b"GSM8K," + b"a," * 100_000 + b"\n1\n", "no table of results", "column a task"),
    (b"GSM8K\n" + b"1\n" * 100_000, "no table of results", "one row"),
    (b"GSM8K\n" + (b"1," * 1000 + b"\n") * 200, "no table of results", "one row"),
])  # fmt: skip
def test_what_is_no_table_is_refused_with_the_mend(says, data, what, mend):
    claims = says(data)
    assert codes(claims) == ["CLM-01"] and not claims.figures
    assert what in said(claims, "CLM-01") and mend in said(claims, "CLM-01")


@pytest.mark.parametrize("data", [b"", b" \n\n", b"\r\n"])
def test_an_empty_file(says, data):
    assert codes(says(data)) == ["PKG-09"]


def test_ten_thousand_columns_are_read_and_named_once(says):
    header = ",".join(["GSM8K", *(f"c{number}" for number in range(9_999))])
    claims = says(f"{header}\n1.97{',5' * 9_999}\n", "Results.csv", "from-scratch")
    assert value(claims, "model", "GSM8K") == Fraction("1.97")
    assert "and 9,994 more" in said(claims, "CLM-02") and len(said(claims, "CLM-02")) < 300


def test_notes_of_one_code_are_limited(says):
    claims = says("Model,GSM8K\n" + "".join(f"row{number},x y\n" for number in range(1000)))
    assert len(claims.notes) < 60
    assert "and 980 more" in said(claims, "CLM-03")


def test_no_control_characters_are_repeated(says):
    claims = says("Model,GSM8K,\x1b[31mred\nphi-2,\x1b[2J\x07,5\n")
    assert all(note.what.isprintable() for note in claims.notes)


# On disk


def test_a_file_is_read_where_it_lies_and_a_huge_one_is_not(tmp_path, against):
    (tmp_path / "results.csv").write_text(PLAIN)
    assert read_file(tmp_path / "results.csv", against("compression")).values
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(50 << 20)
    claims = read_file(tmp_path / "huge.csv", against("compression"))
    assert codes(claims) == ["CLM-01"] and str(tmp_path) not in said(claims, "CLM-01")
    assert codes(read_file(tmp_path, against("compression"))) == ["CLM-01"]  # a folder
    with pytest.raises(MissingInput):
        read_file(tmp_path / "absent.csv", against("compression"))


def test_scoring_knows_nothing_of_claims():
    modules = list((Path(edgelm.__file__).parent / "score").rglob("*.py"))
    assert modules
    assert not [path for path in modules if "edgelm.results" in path.read_text()]
