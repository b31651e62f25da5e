"""The engine that asks a server: equal to `hf` on a real server of a tiny model, patient with a busy one, exact."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines import completions
from edgelm.engines.base import Request
from edgelm.engines.hf import HF
from edgelm.engines.openai import HALVED, OpenAI
from edgelm.engines.render import REVISION
from edgelm.errors import BadFile, BadOption, InputError, Unsupported
from edgelm.files import JsonLog

QUESTIONS = ["The quick brown fox", "1234", "守株待兔", "jumps over the lazy dog", "a", "The . , !"]


class Tiny:
    """A completions server of one checkpoint. `trouble` is what the next requests get instead of an answer."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.bodies, self.headers, self.trouble, self.lock = [], [], [], threading.Lock()
        self.models = [{"id": "tiny", "owned_by": "tests", "max_model_len": 64}]
        self.tells_ids, self.echoes, self.goes_on, self.begins = True, True, False, []
        self.pages = {"/version": {"version": "1.2"}}

    @torch.inference_mode()
    def complete(self, body):
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = self.begins + self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([prompt])
        ends = body.get("stop_token_ids") or None
        with self.lock:
            whole = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=body["max_tokens"], do_sample=False,
                eos_token_id=ends, pad_token_id=0,
            )  # fmt: skip
        made = whole[0, len(prompt) :].tolist()
        ended = bool(ends) and made[-1] in ends
        shown = made[:-1] if ended else made
        told = {"skip_special_tokens": body.get("skip_special_tokens", True), "clean_up_tokenization_spaces": False}
        before = prompt if self.goes_on else []  # a text that goes on keeps the blank that begins it
        whole = self.tokenizer.decode([*before, *shown], **told)
        choice = {"text": whole[len(self.tokenizer.decode(before, **told)) :]}
        for stop in body.get("stop") or []:
            choice["text"], found, _ = choice["text"].partition(stop)
            ended = ended or bool(found)
        choice["finish_reason"] = "stop" if ended else "length"
        if self.tells_ids and body.get("return_token_ids"):
            choice["token_ids"] = made
        if body.get("echo") and self.echoes:
            logs = self.model(ids).logits[0].log_softmax(-1)
            values = [logs[place - 1, token].item() for place, token in enumerate(prompt) if place]
            choice["logprobs"] = {"token_logprobs": [None, *values]}
        return {"choices": [choice], "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(made)}}


def _handler(tiny):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            tiny.headers.append(dict(self.headers))
            pages = {"/v1/models": {"data": tiny.models}, **tiny.pages}
            self._say(200 if self.path in pages else 404, pages.get(self.path, {}))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tiny.bodies.append(body)
            with tiny.lock:
                trouble = tiny.trouble.pop(0) if tiny.trouble else None
            if trouble == "break off":
                self.close_connection = True
                return
            if trouble is not None:
                self._say(*trouble)
            else:
                self._say(200, tiny.complete(body))

        def _say(self, status, told):
            content = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words):
            pass

    return Handler


@contextmanager
def _serving(tiny):
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(tiny)) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


@pytest.fixture(scope="module")
def folder(make_checkpoint):
    return make_checkpoint("llama", num_hidden_layers=2, max_position_embeddings=64)


@pytest.fixture
def tiny(folder, monkeypatch):
    monkeypatch.setattr(completions, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.delenv(completions.KEY, raising=False)
    return Tiny(folder)


@pytest.fixture
def url(tiny):
    with _serving(tiny) as url:
        yield url


def _requests(max_tokens=12, stop=()):
    return [Request(f"k{n}", n, ask(text), max_tokens, stop) for n, text in enumerate(QUESTIONS)]


def _answers(engine, folder, prompting="chat", **asked):
    with engine.open(Checkpoint(folder), prompting) as session:
        return {reply.key: reply for group in session.answer(_requests(**asked)) for reply in group}


# Answers


@pytest.mark.parametrize("prompting", ["chat", "base"])
@pytest.mark.parametrize("prompt", ["ids", "text"])
@pytest.mark.parametrize("tells_ids", [True, False])
def test_answers_are_those_of_the_plain_engine(folder, tiny, url, prompting, prompt, tells_ids):
    tiny.tells_ids = tells_ids
    wanted = _answers(HF(batch=1), folder, prompting)
    found = _answers(OpenAI(url, prompt=prompt), folder, prompting)
    assert {key: reply.text for key, reply in found.items()} == {key: reply.text for key, reply in wanted.items()}
    assert {key: reply.prompt_tokens for key, reply in found.items()} == {
        key: reply.prompt_tokens for key, reply in wanted.items()
    }
    assert {type(body["prompt"]) for body in tiny.bodies} == {list if prompt == "ids" else str}


def test_a_blank_that_the_tokenizer_drops_is_dropped(shared):
    folder = shared / "data/models/stories260K-hf"
    tiny = Tiny(folder)
    tiny.tells_ids, tiny.goes_on = False, True
    with _serving(tiny) as url:
        wanted, found = _answers(HF(batch=1), folder, "base"), _answers(OpenAI(url), folder, "base")
    assert {key: reply.text for key, reply in found.items()} == {key: reply.text for key, reply in wanted.items()}


@pytest.mark.parametrize(("sent", "text", "halved"), [
    ('"a \\ud83d b"', "a \ufffd b", True), ('"\\ude00"', "\ufffd", True), ('"\\ud83d\\ude00"', "😀", False),
    ('"守"', "守", False),
])  # fmt: skip
def test_half_of_a_character_is_an_answer_with_a_note(folder, tiny, url, sent, text, halved):
    said = f'{{"choices": [{{"text": {sent}, "finish_reason": "stop"}}]}}'.encode()
    tiny.trouble = [(200, said)] * len(QUESTIONS)
    found = _answers(OpenAI(url), folder, "base").values()
    assert {(reply.text, reply.note) for reply in found} == {(text, HALVED if halved else None)}
    JsonLog.line(vars(next(iter(found))))


@pytest.mark.parametrize("tells_ids", [True, False])
def test_a_stop_string_ends_the_answer(folder, tiny, url, tells_ids):
    tiny.tells_ids = tells_ids
    whole = _answers(HF(batch=1), folder, "base", max_tokens=12)
    stop = next(word for reply in whole.values() for word in reply.text.split() if len(word) > 1)
    wanted = _answers(HF(batch=1), folder, "base", max_tokens=12, stop=(stop,))
    found = _answers(OpenAI(url), folder, "base", max_tokens=12, stop=(stop,))
    assert {key: (reply.text, reply.finish) for key, reply in found.items()} == {
        key: (reply.text, reply.finish) for key, reply in wanted.items()
    }
    assert any(reply.finish == "stop" for reply in found.values())


def test_what_is_sent_is_greedy_and_whole(folder, tiny, url):
    _answers(OpenAI(url), folder, max_tokens=7, stop=("x",))
    for body in tiny.bodies:
        assert (body["model"], body["temperature"], body["max_tokens"], body["stop"]) == ("tiny", 0, 7, ["x"])
        assert body["repetition_penalty"] == body["repeat_penalty"] == 1.0
        assert body["add_special_tokens"] is False and body["stop_token_ids"]


def test_the_checkpoints_repetition_penalty_is_passed_on(folder, tiny, url, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.25, "eos_token_id": 1}))
    _answers(OpenAI(url), copy)
    assert {body["repetition_penalty"] for body in tiny.bodies} == {1.25}


def test_more_questions_than_are_asked_at_once_are_all_answered(folder, url):
    requests = [Request(str(n), n, ask(f"fox {n}"), 2) for n in range(20)]
    with OpenAI(url, concurrency=2).open(Checkpoint(folder), "chat") as session:
        assert {reply.key for group in session.answer(requests) for reply in group} == {str(n) for n in range(20)}


def test_a_run_that_is_left_early_leaves_no_thread(folder, url):
    before = threading.active_count()
    with OpenAI(url, concurrency=2).open(Checkpoint(folder), "chat") as session:
        answers = session.answer(_requests())
        next(answers)
        answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    assert threading.active_count() <= before + 2  # the server's own


# Likelihood


def test_loglikelihood_is_that_of_the_plain_engine(folder, url):
    quick = "The quick brown"
    pairs = [(quick, " fox"), (quick, " fox jumps over"), ("1", "234"), ("", "The fox"), ("The", "")]
    with HF().open(Checkpoint(folder), "base") as plain, OpenAI(url).open(Checkpoint(folder), "base") as session:
        assert session.loglikelihood(pairs) == pytest.approx(plain.loglikelihood(pairs), abs=1e-4)


def test_a_server_that_tells_no_logs_of_a_prompt_is_named(folder, tiny, url):
    tiny.echoes = False
    with OpenAI(url).open(Checkpoint(folder), "base") as session, pytest.raises(Unsupported, match=r"(?s)echo.*mend"):
        session.loglikelihood([("The", " fox")])


# Trouble


@pytest.mark.parametrize("trouble", [(429, {}), (503, {"error": "loading"}), (500, {}), "break off"])
def test_a_busy_server_is_asked_again(folder, tiny, url, trouble):
    wanted = _answers(HF(batch=1), folder)
    tiny.trouble = [trouble, trouble]
    found = _answers(OpenAI(url), folder)
    assert {key: reply.text for key, reply in found.items()} == {key: reply.text for key, reply in wanted.items()}
    assert len(tiny.bodies) == len(QUESTIONS) + 2


def test_a_server_that_stays_busy_is_given_up(folder, tiny, url):
    tiny.trouble = [(503, {"error": "loading"})] * 100
    with pytest.raises(Unsupported, match=r"(?s)no answer comes.*503.*loading.*prompt=text"):
        _answers(OpenAI(url, concurrency=1), folder)


@pytest.mark.parametrize(("trouble", "error", "said"), [
    ((400, {"error": "prompt too long"}), Unsupported, "too long"), ((401, {}), BadOption, "OPENAI_API_KEY"),
    ((200, {"choices": []}), BadFile, "without choices"), ((200, b"<html>"), BadFile, "something else"),
    ((200, b"[]"), BadFile, "something else"), ((422, {}), Unsupported, "prompt=text"),
])  # fmt: skip
def test_a_refusal_is_told_at_once(folder, tiny, url, trouble, error, said):
    tiny.trouble = [trouble]
    with pytest.raises(error, match=f"(?s){said}"):
        _answers(OpenAI(url, concurrency=1), folder)
    assert len(tiny.bodies) <= 3


def test_a_server_with_another_tokenizer_is_refused(folder, tiny, url):
    tiny.begins = [1]
    with pytest.raises(Unsupported, match="another tokenizer"):
        _answers(OpenAI(url, prompt="text"), folder)


def test_a_bare_text_lacks_its_beginning(folder, url):
    for prompt, wanted in (("ids", ""), ("text", "begin"), ("bare", "bare")):
        with OpenAI(url, prompt=prompt).open(Checkpoint(folder), "base") as session:
            tokenizer = session.rendering.tokenizer
            ids = [tokenizer.bos_token_id, 40, 41]
            texts = {"begin": tokenizer.decode(ids), "bare": tokenizer.decode(ids[1:])}
            assert session._prompt(ids) == (ids if prompt == "ids" else texts[wanted])
            assert session._prompt(ids[1:]) == (ids[1:] if prompt == "ids" else texts["bare"])


def test_an_absent_server_is_named_with_its_mend(folder):
    for address in ("http://127.0.0.1:9/v1", "127.0.0.1:9", "http://[", "x"):
        with pytest.raises(InputError, match=r"(?s)mend: .*url="):
            _ = OpenAI(address).identity


def test_a_server_that_is_too_slow_is_named(folder, tiny, url):
    with (
        OpenAI(url, timeout=0.2).open(Checkpoint(folder), "chat") as session,
        tiny.lock,
        pytest.raises(Unsupported, match=r"no answer in 0\.2 seconds"),
    ):
        list(session.answer(_requests()))


# Which model


def test_the_identity_names_model_and_server_and_no_address_or_key(tiny, url, monkeypatch):
    monkeypatch.setenv(completions.KEY, "sesame")
    engine = OpenAI(url)
    assert engine.identity == {
        "engine": "openai", "model": "tiny", "server": "tests 1.2", "max_model_len": 64,
        "prompt": "ids", "truncate": "left", "rendering": REVISION,
    }  # fmt: skip
    assert "sesame" not in repr(engine) and "sesame" not in repr(engine.identity)
    assert {headers.get("Authorization") for headers in tiny.headers} == {"Bearer sesame"}


@pytest.mark.parametrize(("pages", "server"), [
    ({"/props": {"build_info": "b42"}}, "tests b42"), ({"/get_server_info": {"version": "9"}}, "tests 9"),
    ({}, "tests"), ({"/version": b"no json"}, "tests"),
])  # fmt: skip
def test_a_server_is_named_as_far_as_it_tells(tiny, url, pages, server):
    tiny.pages = pages
    assert OpenAI(url).identity["server"] == server


def test_another_model_is_another_identity(tiny, url):
    first = OpenAI(url).identity
    tiny.models = [{"id": "tiny", "owned_by": "tests", "meta": {"n_params": 7}}]
    assert OpenAI(url).identity != first


def test_the_model_must_be_one_that_is_served(tiny, url):
    with pytest.raises(BadOption, match=r"(?s)no model 'large'.*tiny"):
        _ = OpenAI(url, model="large").identity
    tiny.models = [{"id": "tiny"}, {"id": "other"}]
    with pytest.raises(BadOption, match=r"(?s)several.*other, tiny"):
        _ = OpenAI(url).identity
    assert OpenAI(url, model="other").identity["model"] == "other"
    tiny.models = "none"
    with pytest.raises(BadFile, match="no models"):
        _ = OpenAI(url).identity


def test_settings_that_make_no_sense_are_refused():
    for settings in ({"concurrency": 0}, {"timeout": 0.0}):
        with pytest.raises(BadOption, match="not possible"):
            OpenAI(**settings)
