"""Prompts that begin alike are encoded together as each is alone."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.encoders.clip.beginnings import Beginnings
from lexiseg.encoders.clip.resnet import Clip
from tiny import CLIP, seeded

prompts = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1, max_size=6)


@given(prompts)
def test_every_prompt_is_a_path_of_distinct_beginnings(rows: list[list[int]]) -> None:
    tokens = torch.tensor([[*row, *[0] * (5 - len(row))] for row in rows])
    ends = torch.tensor([len(row) - 1 for row in rows])

    begun = Beginnings.of(tokens[:, : int(ends.max()) + 1], ends)

    assert len(begun.tokens) == len({tuple(row[: n + 1]) for row in rows for n in range(len(row))})
    for row, path, is_inside in zip(rows, begun.paths, begun.is_inside, strict=True):
        assert begun.tokens[path[is_inside]].tolist() == row
        assert begun.positions[path[is_inside]].tolist() == list(range(len(row)))


@torch.no_grad()
def test_what_prompts_share_changes_no_embedding() -> None:
    clip = seeded(Clip(replace(CLIP, text_layers=3))).eval()
    together = ["a photo of a cat.", "a photo of a cat", "a", "a photo of a small cat.", "cat", "a photo of a cat."]

    found = clip.encode_text(together)

    alone = torch.cat([clip.encode_tokens(clip.tokenize([prompt])) for prompt in together])
    torch.testing.assert_close(found, alone, atol=1e-6, rtol=1e-5)
    assert alone[:5].std(0).mean() > 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(clip.encode_text(together), alone, atol=0.1, rtol=0.1)
