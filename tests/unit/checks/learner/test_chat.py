"""`course.py chat FOLDER`: what it says, before it loads and after, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from checks import __main__
from checks.learner import chat
from checks.learner_files import paths
from helpers.checkpoints import memory_needed
from helpers.data.corpus import END_OF_TEXT, train_tokenizer
from helpers.model.deepseek_config import DeepSeekConfig
from solutions.d4_deepseek import DeepSeek

TEXT = "The cat sat on the mat, and the dog lay by the door. " * 20


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small model and its tokenizer, as `to_hf` writes them."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    tokenizer = train_tokenizer([TEXT], 300)
    torch.manual_seed(0)
    config = DeepSeekConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_layers=2,
        d_model=32,
        num_heads=2,
        d_head=16,
        d_latent=16,
        d_rope=8,
        num_experts=4,
        top_k=2,
        expert_dim=16,
        num_shared=1,
    )
    DeepSeek(config).to_hf(folder, tokenizer=tokenizer, end_of_text=END_OF_TEXT)
    return folder


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What a chat with these words prints: exit code, output, errors."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")

    def run(*words: object) -> tuple[int, str, str]:
        options = __main__._parser().parse_args(["chat", *map(str, words)])
        code = options.run(options)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_prompt_is_continued_and_speed_and_memory_are_told(saved, said):
    code, out, err = said(saved, "--prompt", "The cat", "--max-new-tokens", 6)
    assert code == 0 and out.startswith("The cat")
    assert err.startswith("memory: ") and "tokens a second]" in err
    assert "yours: none yet, all parts are the reference" in err


def test_greedy_words_are_the_models_own(saved, said):
    _, out, _ = said(saved, "--ids", "5,6,7", "--max-new-tokens", 8, "--temperature", 0)
    ids, model = torch.tensor([[5, 6, 7]]), DeepSeek.from_hf(saved)
    for _ in range(8):
        ids = torch.cat([ids, model(ids)[:, -1:].argmax(-1)], dim=1)
    assert [int(word) for word in out.split()] == ids[0, 3:].tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_type_writes(saved, said, dtype):
    assert said(saved, "--prompt", "The", "--max-new-tokens", 3, "--dtype", dtype)[0] == 0


def test_a_chat_ends_with_the_input(saved, said, monkeypatch):
    lines = iter(["The cat", "The dog"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines, None) or _end(lines))
    code, out, _ = said(saved, "--max-new-tokens", 3)
    assert code == 0 and "The cat" in out


def _end(lines) -> str:
    raise EOFError


def test_ctrl_c_ends_a_reply_and_not_the_chat(saved, said, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    lines = iter(["The cat", "The dog"])
    monkeypatch.setattr(chat.TextStreamer, "put", interrupted)
    monkeypatch.setattr("builtins.input", lambda _: next(lines, None) or _end(lines))
    code, out, _ = said(saved, "--max-new-tokens", 3)
    assert code == 0 and "The cat" in out and "The dog" in out


def test_a_chat_template_is_used(saved, said, tmp_path):
    folder = _copied(saved, tmp_path)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["chat_template"] = "{% for m in messages %}{{ m['content'] }}{% endfor %} and"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    code, out, _ = said(folder, "--prompt", "The cat", "--max-new-tokens", 3)
    assert code == 0 and not out.startswith("The cat")


def _copied(saved: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_tokenizer_that_is_code_is_refused_and_ids_still_generate(saved, said, tmp_path):
    folder = _copied(saved, tmp_path)
    (folder / "tokenizer.json").unlink()
    code = json.dumps({"auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}})
    (folder / "tokenizer_config.json").write_text(code, encoding="utf-8")
    code, out, err = said(folder, "--prompt", "The")
    assert code == 1 and not out
    assert "is code of its own, which is not run here: --ids generates without one" in err
    assert said(folder, "--ids", "5", "--max-new-tokens", 2)[0] == 0


def test_too_little_memory_is_said_before_anything_is_loaded(saved, said, monkeypatch):
    monkeypatch.setattr(chat, "free_memory", lambda: 1000)
    monkeypatch.setattr(chat, "loaded", lambda *_: pytest.fail("it was loaded"))
    code, _, err = said(saved, "--prompt", "The", "--dtype", "bfloat16")
    assert code == 1 and "must stay in memory" in err.splitlines()[-1]


def test_files_larger_than_memory_are_a_warning(saved, said, monkeypatch):
    monkeypatch.setattr(chat, "LONGEST", 8)
    needed = memory_needed.memory_needed(saved, None, 2 * 24, 8)
    monkeypatch.setattr(chat, "free_memory", lambda: needed.mapped - 1)
    code, _, err = said(saved, "--prompt", "The", "--max-new-tokens", 2)
    assert code == 0 and "warning: the files are larger than the free memory" in err


def test_no_folder_and_ids_out_of_range_are_sentences(saved, said, tmp_path):
    code, _, err = said(tmp_path / "nowhere", "--prompt", "The")
    assert code == 1 and err.startswith("a checkpoint is a folder, and ")
    code, _, err = said(saved, "--ids", "999999")
    assert code == 1 and "token ids must be between 0 and" in err.splitlines()[-1]
