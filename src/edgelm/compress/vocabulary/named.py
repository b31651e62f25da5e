"""Which tokens a tokenizer's own files name: they are needed whatever the text is like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from edgelm.compress.vocabulary.byte_bpe import ByteBpe
from edgelm.compress.vocabulary.ids import ids_in
from edgelm.deploy.gguf_pre import stages

CONFIG, SPECIALS, TEMPLATE = "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"
OLD_TEMPLATE, GENERATION = "chat_template.json", "generation_config.json"
DECODER = "added_tokens_decoder"  # in tokenizer_config.json: added tokens by id
Parsed = Mapping[str, Any]  # the contents of a tokenizer's files, parsed, by name


def named_tokens(
    bpe: ByteBpe, files: Parsed, config: Mapping[str, Any], specials: Literal["all", "used"] = "all"
) -> set[int]:
    """The tokens that are named in the configurations, by the post-processor and as bos, eos and so on.

    With `used`, also those that stand in the chat template; else all that are listed as special anywhere. A chat
    template that puts a token together from parts names it only in the chats that it makes.

    Args:
        bpe: the tokenizer.
        files: what lies beside it.
        config: the model's `config.json`.
        specials: whether special tokens that are only listed are named.
    """
    settings = [files.get(name) or {} for name in (CONFIG, SPECIALS)]
    texts = set(_in_tokenizer(files))
    ids = {token for each in (config, files.get(GENERATION) or {}, *settings) for ids in ids_in(each).values()
           for token in ids}  # fmt: skip
    for each in settings:
        texts |= {text for key, value in each.items() if key.endswith("_token") and (text := token_text(value))}
    if specials == "all":
        texts |= {text for each in settings for text in _listed(each)}
        ids |= set(map(int, settings[0].get(DECODER) or ()))
    else:
        templates = list(_strings([files.get(TEMPLATE), files.get(OLD_TEMPLATE), settings[0].get("chat_template")]))
        texts |= {a.text for a in bpe.added.values() if any(a.text in template for template in templates)}
    return {token for token, text in bpe.texts.items() if token in ids or text in texts}


def token_text(value: object) -> str:
    """The text of a token that is given as such or as an object; empty if it is neither."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def is_list(key: str) -> bool:
    """Whether a setting lists special tokens: `additional_special_tokens` and later names."""
    return key.endswith("_special_tokens")


def _listed(settings: Mapping[str, Any]) -> Iterator[str]:
    """The texts of the tokens that a configuration lists as special."""
    for key, value in settings.items():
        if is_list(key):
            yield from map(token_text, value.values() if isinstance(value, Mapping) else value or ())


def _in_tokenizer(files: Parsed) -> Iterator[str]:
    """The texts of the tokens that encoding puts in by itself."""
    tokenizer = files["tokenizer.json"]
    yield token_text(tokenizer["model"].get("unk_token"))
    yield token_text((tokenizer.get("padding") or {}).get("pad_token"))
    for stage in stages(tokenizer.get("post_processor")):
        for special in (stage.get("special_tokens") or {}).values():  # of a template
            yield from special["tokens"]
        for key in ("sep", "cls"):  # of BERT's and RoBERTa's
            if key in stage:
                yield stage[key][0]


def _strings(value: object) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _strings(list(value.values()))
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
