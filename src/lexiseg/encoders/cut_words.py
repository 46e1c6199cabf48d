"""Words that are longer than CLIP reads; nothing here imports torch unless a word may be one."""

import re
from collections.abc import Callable
from typing import Any

from lexiseg.core.messages import few
from lexiseg.core.vocabulary import Vocabulary

_PIECES = re.compile(r"\w+|[^\w\s]")


def note_on_cut_words(vocabulary: Vocabulary, context_length: int, word_pieces: Callable[[], Any] | None = None) -> str:
    """Says which names CLIP's tokenizer cuts off in at least one template, behind what, and which became one word.

    Args:
        vocabulary: the names and their templates.
        context_length: tokens that the text tower reads, start and end included.
        word_pieces: gives the tokenizer, by its `encode` and `decode`, if a word may be long, as it takes time to
            make; CLIP's own if not given.

    Returns:
        A sentence; empty if every name is read whole.
    """
    room = context_length - 2
    most = max(len(_PIECES.findall(template.replace("{}", ""))) for template in vocabulary.templates)
    long = [name for name in vocabulary.row_names() if len(name.encode()) + most > room]  # a token is a byte or more
    if not long:
        return ""
    if word_pieces is None:
        from open_clip import SimpleTokenizer

        word_pieces = SimpleTokenizer
    tokenizer: Any = word_pieces()
    cut: dict[str, str] = {}
    read: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    left = room - max(len(tokenizer.encode(template.partition("{}")[0])) for template in vocabulary.templates)
    for name in long:
        if len(tokens := tokenizer.encode(name)) > left:
            cut[name] = tokenizer.decode(tokens[: max(0, left)]).strip()
            prompts = [tokenizer.encode(template.replace("{}", name)) for template in vocabulary.templates]
            read.setdefault(tuple(tuple(prompt[:room]) for prompt in prompts), []).append(name)
    if not cut:
        return ""
    shown = few([f"{_end(name)} behind {_end(text)}" for name, text in cut.items()])
    joined = [f"{' and '.join(map(_end, names))} became one" for names in read.values() if len(names) > 1]
    return (
        "; ".join(
            [f"Note: CLIP reads {context_length} tokens, the sentence around a word included, and cuts off {shown}"]
            + ([few(joined)] if joined else [])
        )
        + ": shorten them."
    )


def _end(text: str) -> str:
    """The last letters of a word, which tell long ones apart."""
    return f"'{text}'" if len(text) <= 40 else f"'...{text[-37:]}'"
