"""Times the text tower where names share a template's beginning, against open_clip's full context and against bf16.

Run `python benchmarks/text.py`. Random weights of open_clip's RN50 text tower; two ways run in turns in one process on
one thread; what is told is the median of the ratios of CPU time, and by how much the embeddings differ. At last, all
of COCO's 133 classes, synonyms and 14 templates included, as they are embedded the first time.
"""

import copy
import sys

import alternating
import open_clip
import torch
from torch.nn import functional as F

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.text import embed_names

NUM_NAMES = 18
"""As many as one call of the text tower takes with 14 templates."""
NUM_OF_PEER = 2
"""For open_clip, whose prompts cost a hundred times as much."""


def main() -> None:
    """Writes the times, their ratios and the largest differences."""
    torch.set_num_threads(1)
    torch.random.default_generator.manual_seed(0)
    clip = Clip(ClipConfig.named("RN50")).eval().requires_grad_(False)
    low = copy.deepcopy(clip).bfloat16()
    coco = Vocabulary.of("coco")
    names = coco.row_names()[:NUM_NAMES]
    prompts = [template.replace("{}", name) for template in coco.templates for name in names]
    few = [prompt for prompt in prompts if any(name in prompt for name in names[:NUM_OF_PEER])]
    tokenizer = open_clip.get_tokenizer("RN50")

    def ours() -> torch.Tensor:
        return clip.encode_text(prompts)

    @torch.no_grad()
    def theirs() -> torch.Tensor:
        return clip.clip.encode_text(tokenizer(few))

    def in_bf16() -> torch.Tensor:
        return low.encode_text(prompts)

    found = ours()
    places = [prompts.index(prompt) for prompt in few]
    difference = (found[places] - theirs()).abs().max().item()
    mine, peer, _ = alternating.compare(ours, theirs)
    mine, peer = 1000 * mine / len(prompts), 1000 * peer / len(few)
    sys.stdout.write(
        f"a prompt of {len(prompts)}: {mine:.1f} ms, open_clip's {peer:.1f} ms, {peer / mine:.0f} times as fast; "
        f"largest difference {difference:.1e}\n"
    )
    cosine = F.cosine_similarity(found, in_bf16()).min().item()
    _, _, ratio = alternating.compare(ours, in_bf16)
    sys.stdout.write(f"bf16: {ratio:.2f} of the time, least cosine to float32 {cosine:.5f}\n")
    whole = alternating.Clock().seconds(lambda: embed_names(clip, coco.row_names(), coco.templates))
    sys.stdout.write(f"COCO's {len(coco)} classes, {len(coco.row_names())} names, the first time: {whole:.1f} s\n")


if __name__ == "__main__":
    main()
