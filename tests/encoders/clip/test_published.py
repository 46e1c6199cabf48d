"""Published CLIPs: where they lie, how they are read, and what decides about QuickGELU."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lexiseg.encoders.clip import published
from lexiseg.encoders.clip.families import AnyClipConfig, build_clip, named_config, sizes_of_weights
from lexiseg.encoders.clip.published import clip_repository, read_clip
from tiny import CLIP, CONVNEXT, VIT, seeded

PLAIN_VIT = replace(VIT, prompts=None, head_width=64, text_width=64, text_heads=1)
MARKS = {"input_resolution": torch.tensor(64), "context_length": torch.tensor(32), "vocab_size": torch.tensor(49408)}


def weights(config: AnyClipConfig) -> dict[str, Tensor]:
    return seeded(build_clip(config)).clip.state_dict()


def is_same(config: AnyClipConfig, state: dict[str, Tensor]) -> bool:
    expected = {f"clip.{name}": value for name, value in weights(config).items()}
    return state.keys() == expected.keys() and all(torch.equal(value, state[name]) for name, value in expected.items())


def test_names_and_tags_lie_where_open_clip_has_them() -> None:
    place = clip_repository()

    assert (place.model, place.tag, place.repository) == ("RN50", "openai", "timm/resnet50_clip.openai")
    assert place.weights == ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    assert place.address is not None
    assert place.address.endswith("/RN50.pt")
    assert "open_clip_config.json" in place.beside
    assert clip_repository("ViT-B/16", "laion2b-s34b-b88k").repository == "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    assert clip_repository("RN50-quickgelu", "openai").repository == place.repository


@pytest.mark.parametrize(
    ("model", "tag", "told"),
    [
        ("RN5O", None, r"knows no model 'RN5O'; near names: RN50"),
        ("RN50", "opnai", r"no weights 'opnai' of 'RN50'; near names: openai"),
        ("ViT-H-14", None, "several trainings of 'ViT-H-14': choose one of laion2b_s32b_b79k,"),
        ("ViT-M-32", None, "publishes no weights of 'ViT-M-32'"),
        ("EVA02-B-16", None, "of a kind that is not read, whose image tower is timm's 'eva02_base_patch16_clip_224'"),
        ("coca_ViT-B-32", None, r"with a decoder of captions \(CoCa\)"),
        ("roberta-ViT-B-32", None, "with a text tower of transformers"),
        ("hf-hub:a/b", None, "knows no model 'hf-hub:a/b'"),
    ],
)
def test_what_open_clip_does_not_have_ends_in_one_sentence(model: str, tag: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        clip_repository(model, tag)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("config", [replace(CLIP, dense_stride=32), PLAIN_VIT, CONVNEXT], ids=["RN", "ViT", "ConvNeXt"])
@pytest.mark.parametrize("layout", ["safetensors", "pickle", "nested", "half", "folder", "shards"])
def test_every_layout_gives_sizes_and_weights(layout: str, config: AnyClipConfig, tmp_path: Path) -> None:
    state, path = weights(config), tmp_path / "clip.pt"
    match layout:
        case "safetensors":
            save_file(state, path := tmp_path / "clip.safetensors")
        case "pickle":
            torch.save(state, path)
        case "nested":
            torch.save({"epoch": 1, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
        case "half":
            torch.save(
                {name: value.half() if value.is_floating_point() else value for name, value in state.items()}, path
            )
        case _:
            path = tmp_path
            write_folder(path, config, state, is_sharded=layout == "shards")

    tells_sizes = config is PLAIN_VIT or (path == tmp_path and config is not CONVNEXT)
    found = read_clip(path, model=None if tells_sizes else config)

    assert found.config == config
    build_clip(found.config).load_state_dict(dict(found.state))
    if layout != "half":
        assert is_same(config, dict(found.state))


def model_cfg(config: AnyClipConfig) -> dict[str, object]:
    """As open_clip describes it."""
    names = ("layers", "width", "head_width", "image_size", "patch_size")
    vision = {name: getattr(config, name) for name in names if hasattr(config, name)}
    if config is CONVNEXT:
        vision = {"timm_model_name": "convnext_tiny", "timm_pool": "", "timm_proj": "mlp", "timm_drop_path": 0.1}
    text = {"width": config.text_width, "heads": config.text_heads, "layers": config.text_layers}
    text |= {"context_length": config.context_length, "vocab_size": 49408}
    return {"embed_dim": config.embed_dim, "vision_cfg": vision, "text_cfg": text, "quick_gelu": config.quick_gelu}


def write_folder(folder: Path, config: AnyClipConfig, state: dict[str, Tensor], *, is_sharded: bool = False) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg(config), "preprocess_cfg": {}}))
    if not is_sharded:
        save_file(state, folder / "open_clip_model.safetensors")
        return
    names = list(state)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, folder / file)
    places = {name: file for file, part in parts.items() for name in part}
    (folder / "open_clip_model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


class Program(nn.Module):
    """A CLIP with OpenAI's three marks, as `torch.jit` can save it."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        for name, child in clip.named_children():
            self.add_module(name, child)
        for name, value in clip.named_parameters(recurse=False):
            self.register_parameter(name, value)
        for name, value in MARKS.items():
            self.register_buffer(name, value)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens)


def write_torchscript(path: Path, config: AnyClipConfig) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clip = seeded(build_clip(config)).clip.half().eval()
        torch.jit.save(torch.jit.trace(Program(clip), torch.zeros(1, 3, dtype=torch.int64)), path)


@pytest.mark.parametrize("config", [CLIP, PLAIN_VIT], ids=["ResNet", "ViT"])
def test_a_torchscript_archive_is_read_and_bears_openais_marks(config: AnyClipConfig, tmp_path: Path) -> None:
    write_torchscript(tmp_path / "RN50.pt", config)

    found = read_clip(tmp_path / "RN50.pt", model=config)

    assert found.config == replace(config, quick_gelu=True)
    assert "bears OpenAI's marks, and OpenAI trained with QuickGELU: it is computed with it" in found.note
    expected = {name: value.half().float() for name, value in weights(config).items() if value.is_floating_point()}
    assert all(torch.equal(found.state[f"clip.{name}"], value) for name, value in expected.items())
    build_clip(found.config).load_state_dict(dict(found.state))


FULL_SIZE = ["RN50", "RN101-quickgelu", "RN50x4-quickgelu", "RN50x16-quickgelu", "RN50x64-quickgelu"]


@pytest.mark.parametrize("name", [*FULL_SIZE, "ViT-B-16-quickgelu", "convnext_base"])
def test_full_size_weights_tell_the_sizes_and_the_names_of_the_module(name: str, shared: Path) -> None:
    keys = json.loads((shared / "published" / f"{name}.open_clip.keys.json").read_text())
    state = {key: torch.empty(shape, device="meta") for key, (_, shape) in keys.items()}
    expected = named_config(name)
    assert expected is not None

    kind, sizes = sizes_of_weights(state)

    assert isinstance(expected, kind)
    assert {name: getattr(expected, name) for name in sizes} == sizes
    with torch.device("meta"):
        own = build_clip(expected).state_dict()
    shapes = {key.removeprefix("clip."): value.shape for key, value in own.items()}
    assert shapes == {key: value.shape for key, value in state.items()}


EVIDENCE: dict[str, tuple[str, str | None, str, bool | None, bool, str]] = {
    # name, tag, file, what a configuration beside it says: how it is computed, what is told
    "the name alone": ("RN50", None, "x.pt", None, False, ""),
    "a name with the suffix": ("RN50-quickgelu", None, "x.pt", None, True, ""),
    "OpenAI's marks": ("RN50", None, "marked.pt", None, True, "'{}marked.pt' bears OpenAI's marks"),
    "marks and suffix": ("RN50-quickgelu", None, "marked.pt", None, True, ""),
    "the tag": ("RN50", "openai", "x.pt", None, True, ""),
    "a tag without": ("ViT-B-32-quickgelu", "laion2b_e16", "x.pt", None, False, ""),
    "a configuration": ("RN50", None, "open_clip_model.safetensors", True, True, "open_clip_config.json beside it"),
    "a configuration without": ("RN50-quickgelu", None, "open_clip_model.safetensors", False, False, "without it"),
    "a published file": ("RN50", None, "rn50-quickgelu-cc12m-f000538c.pt", None, True, "open_clip's table has a file"),
    "marks before a tag": ("ViT-B-32", "laion2b_e16", "marked.pt", None, True, "although open_clip's table has"),
}


@pytest.mark.parametrize("case", EVIDENCE)
def test_quickgelu_is_decided_by_the_strongest_evidence_and_told(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tag, file, configured, expected, told = EVIDENCE[case]
    config = replace(CLIP if "RN" in model else PLAIN_VIT, quick_gelu=model.endswith("-quickgelu"))
    monkeypatch.setattr(published, "named_config", lambda name: config)  # tiny sizes by a published name
    state = weights(config) | (MARKS if file == "marked.pt" else {})
    if file.endswith(".safetensors"):
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"quick_gelu": configured}}))
        save_file(state, tmp_path / file)
    else:
        torch.save(state, tmp_path / file)

    found = read_clip(tmp_path / file, model=model, tag=tag)

    assert found.config == replace(config, quick_gelu=expected)
    assert told.format(f"{tmp_path}/") in found.note
    assert bool(found.note) == bool(told)
    assert "\n" not in found.note


def test_weights_of_which_nothing_tells_the_activation_are_computed_without_and_told(tmp_path: Path) -> None:
    torch.save(weights(PLAIN_VIT), tmp_path / "x.pt")

    found = read_clip(tmp_path / "x.pt")

    assert not found.config.quick_gelu
    assert "nothing says whether" in found.note
