import json
from dataclasses import replace
from fractions import Fraction

import pytest

from edgelm.checkpoint import digest_of
from edgelm.errors import MissingInput, UnknownName
from edgelm.files import sha256_file, tree_files
from edgelm.report import FULL_MARK, REPORT, Report, Speed, TaskScore, Workload, answers_log
from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.board import Board
from edgelm.score.collect import collect, reference_entry, slot_model
from edgelm.score.disqualification import Disqualification
from edgelm.score.protocols import compared
from edgelm.score.publish import publish
from edgelm.score.standings import standings

RULES = Miniature()
CHECKPOINT = digest_of({"config.json": "0" * 64})
WORKLOAD = Workload(prompt_tokens=RULES.prompt_tokens, generated_tokens=RULES.generated_tokens, repeats=RULES.repeats)


def task(score, samples=10, of=10, protocol="miniature-1/rows-0"):
    return TaskScore(protocol=protocol, prompting="base", engine={}, score=Fraction(score), samples=samples, of=of)


def speed(nanoseconds=10**9, repeats=3, workload=WORKLOAD):
    times = [nanoseconds] * repeats
    return Speed(workload=workload, device="cpu", repeats_ns=times, first_token_ns=times, prefill=1, decode=1, spread=0)


def report(**changes):
    tasks = {"commonsenseqa": task(50), "gsm8k": task("100/3", 3, 3), "chid": task(0)}
    whole = Report(checkpoint=CHECKPOINT, name="small", parameters=7, bytes=14, dtypes={"F16": 14}, tasks=tasks,
                   speed=speed(), memory={RULES.memory_meter: 1000})  # fmt: skip
    return whole.model_copy(update=changes)


def test_a_whole_report_counts_whole():
    model = slot_model(RULES, report())
    assert model.scores == {"commonsenseqa": 50, "gsm8k": Fraction(100, 3), "chid": 0}
    assert (model.throughput, model.peak_memory, model.parameters, model.bytes) == (256, 1000, 7, 14)
    assert model.notes == ()


def test_an_incomplete_task_is_missing():
    model = slot_model(RULES, report(tasks={"gsm8k": task(100, samples=9), "chid": task(1)}))
    assert model.scores == {"chid": 1}
    assert model.notes == ("commonsenseqa: not evaluated", "gsm8k: 9 of 10 rows answered")


@pytest.mark.parametrize(
    ("measured", "note"),
    [
        (None, "not measured"),
        (speed(repeats=2), "2 repeats"),
        (speed(workload=WORKLOAD.model_copy(update={"prompt_tokens": 8})), "measured with 8 + 64 tokens"),
        (speed(workload=WORKLOAD.model_copy(update={"batch": 2})), "batch 2"),
    ],
)
def test_throughput_counts_on_the_workload_of_the_rules(measured, note):
    model = slot_model(RULES, report(speed=measured))
    assert model.throughput is None
    [only] = model.notes
    assert only.startswith("throughput: ")
    assert note in only


def test_memory_counts_by_the_meter_of_the_rules():
    model = slot_model(RULES, report(memory={"another": 5}))
    assert model.peak_memory is None
    assert model.notes[0].startswith("memory: not measured by")


@pytest.mark.parametrize("replacement", ["", "host"])
def test_a_meter_without_a_name_measures_nothing(replacement):
    model = slot_model(replace(RULES, replacement_meter=replacement), report(memory={"": 1}))
    assert (model.peak_memory, model.meter) == (None, "")


def test_a_replacement_counts_where_the_meter_could_not_see():
    rules = replace(RULES, replacement_meter="host")
    model = slot_model(rules, report(memory={"host": 3}))
    assert (model.peak_memory, model.meter) == (3, "host")
    assert slot_model(rules, report(memory={"host": 3, RULES.memory_meter: 4})).peak_memory == 4


def test_a_task_of_fewer_rows_than_the_pinned_data_have_is_missing():
    protocol = "opencompass-0.3.1/gsm8k-1d7fe4"
    one = slot_model(Neurips2024(), report(tasks={"gsm8k": task(100, samples=1, of=1, protocol=protocol)}))
    assert one.scores == {}
    assert "gsm8k: 1 rows were asked, the pinned data have 1,319" in one.notes
    whole = slot_model(Neurips2024(), report(tasks={"gsm8k": task(100, samples=1319, of=1319, protocol=protocol)}))
    assert whole.scores == {"gsm8k": 100}


def test_holdouts_are_read_one_by_one():
    rules = replace(RULES, tasks=("holdout",), holdouts=("h1", "h2"))
    own = report(tasks={"h1": task(1), "h2": task(2)})
    assert slot_model(rules, report(tasks={}), own).scores == {"h1": 1, "h2": 2}


@pytest.mark.parametrize("protocol", ["opencompass-0.3.1/holdout-me", "holdout/holdout-1a2b3c4d"])
def test_no_team_gives_itself_the_score_of_a_holdout_that_the_rules_leave_open(protocol):
    claimed = report(tasks={"holdout": task(100, samples=1, of=1, protocol=protocol)})
    model = slot_model(Neurips2024(), claimed)
    assert (model.scores, model.protocols) == ({}, {})
    assert f"holdout: scored by {protocol}, which counts from the organiser's own reports alone" in model.notes
    assert slot_model(Neurips2024(), report(tasks={}), claimed).scores == {"holdout": 100}


SECRET = replace(RULES, tasks=("gsm8k", "holdout"), holdouts=("ethics", "mmlu"),
                 versions=("holdout/ethics-1a2b3c4d", "opencompass-0.3.1/mmlu-4d595a"))  # fmt: skip


MMLU = {"protocol": "opencompass-0.3.1/mmlu-4d595a", "samples": 14042, "of": 14042}


def secret(score, protocol="holdout/ethics-1a2b3c4d", **changes):
    return task(score, protocol=protocol, **changes)


def test_the_organisers_report_of_a_holdout_counts_before_the_teams_own():
    claimed = report(tasks={"gsm8k": task(50), "ethics": secret(99), "mmlu": secret(60, **MMLU)})
    alone = slot_model(SECRET, claimed)
    assert alone.scores == {"gsm8k": 50, "mmlu": 60}
    assert alone.notes == (
        "ethics: scored by holdout/ethics-1a2b3c4d, which counts from the organiser's own reports alone",
    )
    own = report(tasks={"gsm8k": task(1), "ethics": secret(40)})
    assert slot_model(SECRET, claimed, own).scores == {"gsm8k": 50, "ethics": 40, "mmlu": 60}
    part = report(tasks={"ethics": secret(40, samples=9)})
    assert slot_model(SECRET, claimed, part).notes == ("ethics: 9 of 10 rows answered",)
    other = report(tasks={"ethics": secret(40, "holdout/ethics-ffffffff")})
    assert slot_model(SECRET, claimed, other).notes == (
        "ethics: scored by holdout/ethics-ffffffff, the rules ask for holdout/ethics-1a2b3c4d",
    )


def answers(score):
    """As many as the score is of, whose marks give it."""
    whole, rest = divmod(score.score * score.samples * FULL_MARK / 100, FULL_MARK)
    marks = [FULL_MARK] * whole + [int(rest)] + [0] * score.samples
    return [{"key": f"{n}", "sample": f"{n}", "text": "", "mark": mark, "tokens": 1, "prompt_tokens": 1,
             "finish": "stop"} for n, mark in enumerate(marks[:score.samples])]  # fmt: skip


@pytest.fixture
def package(tmp_path):
    """`package("team", report)`: a folder with a manifest, a report and its answers, as far as scoring reads one."""

    def make(team, content, track="compression", rules=RULES.digest):
        folder = tmp_path / team
        place = folder / "models/base/report"
        place.mkdir(parents=True)
        if isinstance(content, str):
            (place / REPORT).write_text(content)
        elif content is not None:
            content.save(place)
            for name, score in content.tasks.items():
                answers_log(place, name).append(answers(score))
        files = {"models/base/checkpoint/config.json": "0" * 64, "models/base/checkpoint/card.json": "1" * 64}
        files |= {name: sha256_file(folder / name) for name in tree_files(folder)}
        listed = [{"path": path, "size": 1, "sha256": sha256} for path, sha256 in files.items()]
        manifest = {"format": 1, "team": team, "track": track, "rules": rules, "title": f"{team}'s entry",
                    "method": "m", "contact": "c", "models": {"base": "models/base"}, "files": listed,
                    "claims": "results.csv", "made_by": "test"}  # fmt: skip
        (folder / "edgelm.json").write_text(json.dumps(manifest))
        return folder

    return make


def test_a_submission_made_for_other_rules_is_out(package):
    [entry] = collect(RULES, [package("team", report(), rules="ab" * 32)])["compression"]
    [reason] = entry.reasons
    assert reason.startswith("rules: made for other rules (abababababab…")
    assert RULES.digest[:12] in reason


def test_a_report_that_was_changed_after_packing_is_out(package):
    folder = package("team", report())
    report(bytes=1).save(folder / "models/base/report")
    [entry] = collect(RULES, [folder])["compression"]
    assert entry.reasons == ("base: report.json is not the one that the manifest lists",)


def test_the_report_of_another_checkpoint_is_out(package):
    [entry] = collect(RULES, [package("team", report(checkpoint="c" * 64))])["compression"]
    [reason] = entry.reasons
    assert reason == f"base: the report is of checkpoint cccccccccccc…, the manifest lists {CHECKPOINT[:12]}…"


def test_scores_on_other_rows_than_most_teams_used_are_missing(package):
    tasks = {**report().tasks, "gsm8k": task(100, protocol="miniature-1/gsm8k-0")}
    folders = [package("a", report(tasks=tasks)), package("b", report()), package("c", report())]
    a, b, _ = sorted(compared(RULES, collect(RULES, folders)["compression"]), key=lambda entry: entry.team)
    assert set(a.models["base"].scores) == {"commonsenseqa", "chid"}
    assert a.models["base"].notes == ("gsm8k: scored by miniature-1/gsm8k-0, compared is by miniature-1/rows-0",)
    assert b.models["base"].scores["gsm8k"] == Fraction(100, 3)


def test_who_is_disqualified_has_no_say_in_which_rows_count(package, tmp_path):  # property 7
    def on(rows):
        return report(tasks={"gsm8k": task(50, protocol=f"miniature-1/gsm8k-{rows}")})

    a, b, c, d = (package(team, on(rows)) for team, rows in zip("abcd", "1122", strict=True))
    out = Disqualification(team="a", reason="copying", evidence="see file 7", signatures=("Ada", "Bo"))
    board = Board(state="provisional", revision=1, disqualified=(out,))
    [with_it] = publish(RULES, [a, b, c, d], tmp_path / "with", board=board, page=False)
    [without] = publish(RULES, [b, c, d], tmp_path / "without", page=False)
    assert with_it.board == without.board
    assert {row.team: row.tasks["gsm8k"].score for row in without.board} == {"b": None, "c": 50, "d": 50}


def test_holdouts_are_joined_by_checkpoint_and_ranked_as_one_averaged_task(package, tmp_path):
    teams = [package(team, report(tasks={"gsm8k": task(50)}), rules=SECRET.digest) for team in ("a", "b")]
    public = secret(60, **MMLU)
    reports = [report(tasks={"ethics": secret(40)}), report(tasks={"mmlu": public}),
               report(checkpoint="c" * 64, tasks={"ethics": secret(100)})]  # fmt: skip
    [standing] = publish(SECRET, teams, tmp_path / "boards", holdouts=reports, page=False)
    assert {row.team: row.tasks["holdout"].score for row in standing.board} == {"a": 50, "b": 50}
    without = standings(SECRET, SECRET.track("compression"), collect(SECRET, teams)["compression"])
    assert [row.tasks["holdout"].score for row in without.board] == [None, None]


def test_submissions_become_standings(package):
    heavy = report(memory={RULES.memory_meter: RULES.memory_limit})
    folders = [package("fast", report(speed=speed(10**8))), package("slow", report()), package("heavy", heavy)]
    by_track = collect(RULES, folders)
    assert list(by_track) == ["compression"]
    standing = standings(RULES, RULES.track("compression"), by_track["compression"])
    assert all(not entry.reasons for entry in by_track["compression"])
    assert [row.team for row in standing.board] == ["fast", "slow"]
    assert [out.team for out in standing.ineligible] == ["heavy"]
    assert by_track["compression"][0].title == "fast's entry"


@pytest.mark.parametrize(
    ("content", "note"), [(None, "no finished report"), ("{", "not valid JSON"), ('{"score": NaN}', "not valid JSON")]
)
def test_a_missing_or_damaged_report_leaves_the_scores_missing(package, content, note):
    [entry] = collect(RULES, [package("team", content)])["compression"]
    assert entry.models["base"].scores == {}
    assert note in entry.models["base"].notes[0]
    assert entry.models["base"].notes[0].startswith("models/base/report")


def test_an_unknown_track_or_folder_is_an_error(package, tmp_path):
    with pytest.raises(UnknownName, match="track"):
        collect(RULES, [package("team", None, track="sprint")])
    with pytest.raises(MissingInput):
        collect(RULES, [tmp_path / "nowhere"])


def test_the_reference_is_an_entry_of_its_own():
    entry = reference_entry(RULES, {"base": report()}, "phi-2")
    assert (entry.team, entry.models["base"].parameters) == ("phi-2", 7)
