import io

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from helpers.model.kv_cache import cache_rows
from helpers.plots.cache_explorer import cache_explorer, draw_cache_view

V3 = {
    "layers": 61,
    "heads": 128,
    "kv_heads": 8,
    "d_head": 128,
    "d_latent": 512,
    "context": 4096,
    "bytes_per_number": 2,
}


def drawn(**changes: int):
    figure = Figure()
    draw_cache_view(figure, **V3 | changes)
    (ax,) = figure.axes
    return ax


def gigabytes(**changes: int) -> list[float]:
    return [bar.get_width() for bar in drawn(**changes).containers[0]]


def labels(**changes: int) -> list[str]:
    return [text.get_text().strip() for text in drawn(**changes).texts]


def test_the_bars_are_the_caches_of_v3():
    *_, v3 = cache_rows()
    mha, *_, mla = gigabytes()
    assert (mha * 1e9, mla * 1e9) == pytest.approx((v3.baseline_bytes, v3.bytes_cached))


def test_each_bar_has_its_name_value_and_ratio():
    names = [label.get_text() for label in drawn().get_yticklabels()]
    assert names == ["MHA", "MQA", "GQA, 8 KV heads", "the plan's two latents", "MLA"]
    assert labels() == [
        "16.4 GB", "0.128 GB (128 times less)", "1.02 GB (16 times less)",
        "0.512 GB (32 times less)", "0.288 GB (56.9 times less)",
    ]  # fmt: skip
    assert drawn().get_title(loc="left") == "61 layers, 128 heads of 128, 4,096 tokens"


def test_one_kv_head_and_one_layer_are_singular():
    ax = drawn(kv_heads=1, layers=1)
    assert "GQA, 1 KV head" in [label.get_text() for label in ax.get_yticklabels()]
    assert ax.get_title(loc="left").startswith("1 layer, ")


def test_a_latent_wider_than_the_heads_costs_more():
    assert labels(heads=4, kv_heads=4, d_latent=1024)[2:] == [
        "0.512 GB", "1.02 GB (2 times more)", "0.544 GB (1.06 times more)",
    ]  # fmt: skip


def test_kv_heads_change_only_gqa_and_the_latent_only_the_latents():
    before = gigabytes()
    assert [a != b for a, b in zip(before, gigabytes(kv_heads=16), strict=True)] == [
        False, False, True, False, False,
    ]  # fmt: skip
    assert [a != b for a, b in zip(before, gigabytes(d_latent=256), strict=True)] == [
        False, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["layers", "context", "bytes_per_number"])
def test_layers_context_and_bytes_scale_every_bar(name):
    assert gigabytes(**{name: 2 * V3[name]}) == pytest.approx([2 * size for size in gigabytes()])


def test_the_explorer_starts_at_v3_and_stores_a_stable_line():
    explorer = cache_explorer()
    assert explorer.values == V3
    assert repr(explorer) == repr(cache_explorer())


def test_every_slider_changes_the_picture():
    explorer = cache_explorer()
    moved = {
        "layers": 27, "heads": 32, "kv_heads": 4, "d_head": 64, "d_latent": 256,
        "context": 32_768, "bytes_per_number": 1,
    }  # fmt: skip
    for name, value in moved.items():
        before = explorer.picture.value
        explorer.sliders[name].value = value
        assert explorer.picture.value != before and explorer.message.value == ""
    assert explorer.values == moved


def test_kv_heads_never_exceed_heads():
    explorer = cache_explorer()
    explorer.sliders["kv_heads"].value = 128
    messages = []
    explorer.message.observe(messages.append, names="value")
    explorer.sliders["heads"].value = 16
    assert explorer.values["kv_heads"] == 16 and messages == []
    explorer.sliders["kv_heads"].value = 64
    assert explorer.values["kv_heads"] == 16
    explorer.sliders["heads"].value = 128
    explorer.sliders["kv_heads"].value = 64
    assert explorer.values["kv_heads"] == 64


def test_a_typed_number_of_heads_that_kv_heads_do_not_divide_is_told():
    explorer = cache_explorer()
    explorer.sliders["heads"].value = 100
    assert "kv_heads must divide heads=100, got 8" in explorer.message.value


@pytest.mark.parametrize("end", ["min", "max"])
def test_nothing_is_cut_off_at_either_end_of_the_sliders(end):
    explorer = cache_explorer()
    for name in ("layers", "d_latent"):
        explorer.sliders[name].value = getattr(explorer.sliders[name], end)
    for name in ("heads", "kv_heads", "d_head", "context"):
        explorer.sliders[name].value = 2 ** getattr(explorer.sliders[name], end)
    assert explorer.message.value == ""
    for latent in (32, 2048):
        explorer.sliders["d_latent"].value = latent
        shown = image.imread(io.BytesIO(explorer.picture.value))[..., :3]
        edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
        assert (edge == 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_heads": 256}, "kv_heads must divide heads=128, got 256"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"d_latent": -1}, "d_latent must be at least 1, got -1"),
        ({"bytes_per_number": 0}, "bytes_per_number must be at least 1, got 0"),
    ],
)
def test_the_view_names_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        drawn(**changes)
