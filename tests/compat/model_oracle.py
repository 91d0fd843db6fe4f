"""Answers of transformers and PEFT for model_compat_test.cc. Usage: model_oracle.py COMMAND FOLDER [GGUF]

logits   FOLDER/ids.json: writes bf16.logits and fp32.logits (fp32 numbers) of the GGUF file; prints their greatest difference
random   writes small random models of every architecture with transformers' logits: FOLDER/NAME.{gguf,logits}, the same as sharded
         safetensors in FOLDER/NAME, ids.json
hf_bases writes such models with tokenizers as folders FOLDER/bases/NAME and FOLDER/NAME.logits for ids.json; prints
         {NAME: [{"text", "ids": of the text by transformers}]}
adapter  FOLDER/adapter loads onto the GGUF file with PEFT: writes adapter.logits for ids.json
gradients  for every adapter FOLDER/adapters/NAME on the model FOLDER/NAME (a folder that `random` wrote) or, where there is none, on the GGUF
         file: the gradients of its tensors by transformers and PEFT in double precision, of the mean loss of the trained tokens of
         FOLDER/rows.json, [{"ids", "weights"}], as FOLDER/NAME.gradients, safetensors; prints {NAME: {"loss", "fp32_error": the greatest error
         of a tensor when they compute in fp32, by its norm}}
llama_cpp  llama.cpp's logits for ids.json of every FOLDER/NAME.gguf as NAME.logits; prints {NAME: 12 greedy tokens} (null: not
         installed)
llama_cpp_tokens  prints {NAME: ids of each of the texts in FOLDER/texts.json, {NAME: [text]}, by llama.cpp with NAME.gguf} (null: not
         installed)
llama_cpp_chat  answers FOLDER/conversations.json, [[{"role", "content"}]], by llama.cpp with FOLDER/exported/model.gguf, by the file's own
         template and end token: prints [{"text", "finish_reason", "prompt_tokens"}] (null: not installed)
llama_cpp_adapter  prints 16 greedy tokens for each of FOLDER/prompts.json by llama.cpp: base.gguf with exported/adapter.gguf (null: not
         installed)
"""
import json
import os
import pathlib
import sys

import numpy as np
import torch


def load(gguf_file, dtype):
    from transformers import AutoModelForCausalLM, GgufConfig
    folder, name = os.path.split(os.path.abspath(gguf_file))
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)).eval()


def logits_of(model, ids, path):
    with torch.no_grad():
        values = model(torch.tensor([ids])).logits[0].float().numpy()
    values.tofile(path)
    return values


def logits(folder, gguf_file):
    ids = json.loads((folder / "ids.json").read_text())
    half = logits_of(load(gguf_file, torch.bfloat16), ids, folder / "bf16.logits")
    full = logits_of(load(gguf_file, torch.float32), ids, folder / "fp32.logits")
    return {"bf16_fp32": float(np.abs(half - full).max())}


def adapter(folder, gguf_file):
    from peft import PeftModel
    ids = json.loads((folder / "ids.json").read_text())
    model = PeftModel.from_pretrained(load(gguf_file, torch.float32), folder / "adapter").eval()
    base = logits_of(load(gguf_file, torch.float32), ids, folder / "base.logits")
    return {"moved": float(np.abs(logits_of(model, ids, folder / "adapter.logits") - base).max())}


def adapter_gradients(base, adapter, rows):
    """(loss, {tensor's name: gradient in double}) in the base's number type."""
    from peft import PeftModel
    model = PeftModel.from_pretrained(base, adapter, is_trainable=True).to(base.dtype).eval()  # eval: no dropout
    total, sum_of_losses = sum(sum(row["weights"][1:]) for row in rows), 0.0
    for row in rows:
        logits = model(torch.tensor([row["ids"]])).logits[0]
        each = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(row["ids"][1:]), reduction="none")
        loss = (each * torch.tensor(row["weights"][1:])).sum() / total
        loss.backward()
        sum_of_losses += loss.item()
    return sum_of_losses, {name.removeprefix("base_model.model.").replace(".default.", "."): parameter.grad.double()
                           for name, parameter in model.named_parameters() if parameter.requires_grad}


def gradients(folder, gguf_file):
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM
    rows, answer = json.loads((folder / "rows.json").read_text()), {}
    for path in sorted((folder / "adapters").iterdir()):
        own = folder / path.name
        base = lambda dtype: AutoModelForCausalLM.from_pretrained(own, dtype=dtype) if own.is_dir() else load(gguf_file, dtype)
        loss, exact = adapter_gradients(base(torch.float64), path, rows)
        _, rounded = adapter_gradients(base(torch.float32), path, rows)
        save_file({name: value.float().contiguous() for name, value in exact.items()}, folder / f"{path.name}.gradients")
        answer[path.name] = {"loss": loss,
                             "fp32_error": max(float((rounded[name] - value).norm() / value.norm()) for name, value in exact.items())}
    return answer


def llama_cpp(folder, _):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    ids = json.loads((folder / "ids.json").read_text())
    greedy = {}
    for path in sorted(folder.glob("*.gguf")):
        llama = Llama(str(path), n_ctx=len(ids) + 16, logits_all=True, verbose=False, n_threads=2)
        llama.eval(ids)
        np.asarray(llama.scores[:len(ids)], dtype=np.float32).tofile(folder / f"{path.stem}.logits")
        greedy[path.stem] = []
        for _ in range(12):
            greedy[path.stem].append(int(np.argmax(llama.scores[llama.n_tokens - 1])))
            llama.eval(greedy[path.stem][-1:])
    return greedy


def llama_cpp_adapter(folder, _):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    llama = Llama(str(folder / "base.gguf"), lora_path=str(folder / "exported" / "adapter.gguf"), n_ctx=256, logits_all=True, verbose=False,
                  n_threads=2)
    answers = []
    for ids in json.loads((folder / "prompts.json").read_text()):
        llama.reset()
        llama.eval(ids)
        answers.append([])
        for _ in range(16):
            answers[-1].append(int(np.argmax(llama.scores[llama.n_tokens - 1])))
            llama.eval(answers[-1][-1:])
    return answers


def llama_cpp_chat(folder, _):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    llama, answers = Llama(str(folder / "exported" / "model.gguf"), n_ctx=512, verbose=False, n_threads=2), []
    for messages in json.loads((folder / "conversations.json").read_text()):
        llama.reset()
        answer = llama.create_chat_completion(messages, temperature=0, max_tokens=40, repeat_penalty=1.0)
        choice = answer["choices"][0]
        answers.append({"text": choice["message"]["content"], "finish_reason": choice["finish_reason"],
                        "prompt_tokens": answer["usage"]["prompt_tokens"]})
    return answers


def interleaved(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path, model, arch):
    import gguf
    config = model.config
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_key_length(config.head_dim if getattr(config, "head_dim", None) else config.hidden_size // config.num_attention_heads)
    if config.rope_parameters["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
    architectures = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}
    names = gguf.get_tensor_name_map(architectures[arch], config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        value = tensor.float().numpy()
        if arch == "llama" and ".q_proj." in name:
            value = interleaved(value, config.num_attention_heads)
        if arch == "llama" and ".k_proj." in name:
            value = interleaved(value, config.num_key_value_heads)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(value))
    if config.rope_parameters["rope_type"] == "llama3":
        head_dim = config.hidden_size // config.num_attention_heads
        theta = config.rope_parameters["rope_theta"]
        plain = theta ** -(np.arange(0, head_dim, 2) / head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq.double().numpy()).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_models(vocab_size):
    """(name, GGUF's architecture, model) of every architecture."""
    from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                              Qwen3Config, Qwen3ForCausalLM)
    torch.manual_seed(3)
    shape = dict(vocab_size=vocab_size, hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
                 max_position_embeddings=512, initializer_range=0.15)
    llama3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64}
    plain = {"rope_type": "default", "rope_theta": 1e4}
    linear = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5}
    models = {
        "llama2": ("llama", LlamaForCausalLM(LlamaConfig(**shape, rope_parameters=plain, tie_word_embeddings=False))),
        "linear": ("llama", LlamaForCausalLM(LlamaConfig(**shape, rope_parameters=linear, tie_word_embeddings=True))),
        "llama3": ("llama", LlamaForCausalLM(LlamaConfig(**shape, rope_parameters=llama3, tie_word_embeddings=False))),
        "mistral": ("llama", MistralForCausalLM(MistralConfig(**shape, rope_parameters=plain, head_dim=32, sliding_window=None,
                                                              tie_word_embeddings=False))),
        "qwen2": ("qwen2", Qwen2ForCausalLM(Qwen2Config(**shape, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
                                                        tie_word_embeddings=True, use_sliding_window=False))),
        "qwen3": ("qwen3", Qwen3ForCausalLM(Qwen3Config(**shape, rope_parameters=plain, head_dim=32, tie_word_embeddings=True,
                                                        use_sliding_window=False))),
    }
    for name, (arch, model) in models.items():
        for _, parameter in model.named_parameters():  # Biases and norms start as 0 and 1: give them work.
            if parameter.dim() == 1:
                parameter.data += 0.2 * torch.randn_like(parameter)
        yield name, arch, model.eval()


def write_ids(folder, vocab_size):
    ids = np.random.default_rng(1).integers(0, vocab_size, 150).tolist()
    (folder / "ids.json").write_text(json.dumps(ids))
    return ids


def random(folder, _):
    ids, names = write_ids(folder, 200), []
    for name, arch, model in random_models(200):
        names.append(name)
        write_gguf(folder / f"{name}.gguf", model, arch)
        model.save_pretrained(folder / name, max_shard_size="200KB")
        logits_of(model, ids, folder / f"{name}.logits")
    return {"models": sorted(names)}


def byte_level(kind):
    """A small vocabulary of the kind of SmolLM, Llama 3 or Qwen 2, without a begin token but for Llama's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    from tokenizer_oracle import LLAMA3, QWEN2, split
    merges = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("i", "n"), ("\u0120", "in"), ("1", "2")]
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, ignore_merges=kind == "llama3"))
    if kind == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    else:
        tokenizer.pre_tokenizer = split(LLAMA3 if kind == "llama3" else QWEN2)
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|im_start|>", "<|im_end|>"])
    if kind == "llama3":
        begin = tokenizer.token_to_id("<|begin|>")
        tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B",
                                                                 special_tokens=[("<|begin|>", begin)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>" if kind == "llama3" else None, eos_token="<|im_end|>")
    fast.chat_template = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
                          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    return fast, "<|im_start|>"


def sentencepiece(kind):
    """A small vocabulary of the kind of Llama 2 (a space before every stretch) or Mistral 3 (before the first)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("i", "n"), ("\u2581", "in")]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + list("\u2581theinca")
    tokens += ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    if kind == "llama2":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    fast.chat_template = ("{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}{{ message.content }}{{ eos_token }}"
                          "{% else %}[INST] {{ message.content }} [/INST]{% endif %}{% endfor %}")
    return fast, "<s>"


def hf_bases(folder, _):
    ids, answer = write_ids(folder, 300), {}
    kinds = {"linear": lambda: byte_level("smollm"), "llama3": lambda: byte_level("llama3"), "qwen2": lambda: byte_level("qwen2"),
             "qwen3": lambda: byte_level("qwen2"), "llama2": lambda: sentencepiece("llama2"), "mistral": lambda: sentencepiece("mistral")}
    for name, _, model in random_models(300):
        path = folder / "bases" / name
        tokenizer, begin = kinds[name]()
        model.save_pretrained(path, max_shard_size="200KB")
        tokenizer.save_pretrained(path)
        logits_of(model, ids, folder / f"{name}.logits")
        texts = [begin + text for text in ("the cat in the hat", " in 12 hats\n\n  the", "\u00fcber \u65e5\u672c 123", "a" + begin + "the in")]
        answer[name] = [{"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]} for text in texts]
    return answer


def llama_cpp_tokens(folder, _):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    answer = {}
    for name, texts in json.loads((folder / "texts.json").read_text()).items():
        llama = Llama(str(folder / f"{name}.gguf"), vocab_only=True, verbose=False)
        answer[name] = [llama.tokenize(text.encode(), add_bos=False, special=True) for text in texts]
    return answer


if __name__ == "__main__":
    command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    print(json.dumps(globals()[command](folder, sys.argv[3] if len(sys.argv) > 3 else None)))
