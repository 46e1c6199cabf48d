"""Times text encoding with the context cut to the longest prompt against open_clip's full context of 77 tokens.

Run `python benchmarks/text.py`. Random weights of open_clip's RN50 text tower; both run in turns in one process on
one thread; what is told is the median of the ratios of CPU time, and by how much the embeddings differ.
"""

import sys

import alternating
import open_clip
import torch

from lexiseg.core.vocabulary import VILD_TEMPLATES, Vocabulary
from lexiseg.encoders.clip.resnet import Clip, ClipConfig

NUM_PROMPTS = 32


def main() -> None:
    """Writes the two times, their ratio and the largest difference."""
    torch.set_num_threads(1)
    torch.random.default_generator.manual_seed(0)
    clip = Clip(ClipConfig.named("RN50")).eval()
    names = Vocabulary.of("coco").names
    prompts = [VILD_TEMPLATES[i % len(VILD_TEMPLATES)].format(names[i]) for i in range(NUM_PROMPTS)]
    tokenizer = open_clip.get_tokenizer("RN50")

    def ours() -> torch.Tensor:
        return clip.encode_text(prompts)

    @torch.no_grad()
    def theirs() -> torch.Tensor:
        return clip.clip.encode_text(tokenizer(prompts))

    difference = (ours() - theirs()).abs().max().item()
    mine, peer, ratio = alternating.compare(ours, theirs)
    mine, peer = 1000 * mine / NUM_PROMPTS, 1000 * peer / NUM_PROMPTS
    sys.stdout.write(
        f"{NUM_PROMPTS} prompts: cut context {mine:.1f} ms a prompt, full context {peer:.1f} ms, "
        f"{ratio:.1f} times as fast; largest difference {difference:.1e}\n"
    )


if __name__ == "__main__":
    main()
