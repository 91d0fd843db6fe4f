"""Checks files and numbers of llm/formats with the programs they are meant for. Usage: formats_oracle.py COMMAND FOLDER

dequantize  each *.blocks (bytes) and *.floats (ours) with gguf.quants; each *.values and *.encoded with gguf's quantiser
safetensors ours.safetensors: the reference reads it and writes the same bytes; writes reference.safetensors for us
peft        the folder is an adapter that PeftModel loads onto a small llama; prints sums of the loaded matrices
llama_cpp   base.gguf, f16.gguf, q8_0.gguf: greedy continuations by llama.cpp (null: not installed)
chat        renders chats.json with the template of model.gguf or templates/*.jinja by transformers' own code; what an assistant says
            by {% generation %}
"""
import json
import pathlib
import sys

import numpy as np


def dequantize(folder):
    import gguf
    different = {}
    for path in folder.glob("*.blocks"):
        kind = gguf.GGMLQuantizationType[path.stem]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = np.fromfile(path, dtype=np.uint8).reshape(-1, size)
        if path.stem == "F16":
            expected = blocks.view(np.float16).astype(np.float32)
        elif path.stem == "F32":
            expected = blocks.view(np.float32)
        else:
            expected = gguf.quants.dequantize(blocks, kind).astype(np.float32)
        ours = np.fromfile(folder / f"{path.stem}.floats", dtype=np.uint32)
        different[path.stem] = int((expected.reshape(-1).view(np.uint32) != ours).sum())
    for path in folder.glob("*.values"):
        kind = gguf.GGMLQuantizationType[path.stem]
        values = np.fromfile(path, dtype=np.float32).reshape(-1, 32)
        expected = gguf.quants.quantize(values, kind).view(np.uint8).reshape(-1)
        ours = np.fromfile(folder / f"{path.stem}.encoded", dtype=np.uint8)
        different["to " + path.stem] = int((expected != ours).sum())
    return different


def safetensors(folder):
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
    ours = folder / "ours.safetensors"
    tensors = load_file(ours)
    with safe_open(ours, "pt") as file:
        metadata = file.metadata()
    again = folder / "again.safetensors"
    save_file(tensors, again, metadata)
    save_file({"x": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3), "y": torch.tensor(7.5)},
              folder / "reference.safetensors", {"format": "pt"})
    return {"same_bytes": again.read_bytes() == ours.read_bytes(), "names": sorted(tensors)}


def peft(folder):
    import warnings
    import torch
    from peft import PeftModel
    from transformers import LlamaConfig, LlamaForCausalLM
    # peft only warns of missing or unexpected adapter keys.
    warnings.filterwarnings("error", message="(?is).*adapter keys.*")
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                                        num_key_value_heads=2, vocab_size=64))
    model = PeftModel.from_pretrained(base, folder)
    return {name: float(parameter.double().sum()) for name, parameter in model.named_parameters() if "lora_" in name}


def llama_cpp(folder):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    result = {}
    for name in ("base", "f16", "q8_0"):
        llama = Llama(str(folder / f"{name}.gguf"), n_ctx=128, verbose=False, n_threads=1)
        answer = llama("The capital of France is", max_tokens=8, temperature=0)
        result[name] = answer["choices"][0]["text"]
    return result


def chat(folder):
    from gguf import GGUFReader
    from transformers.utils.chat_template_utils import render_jinja_template
    templates = {path.stem: path.read_text() for path in (pathlib.Path(__file__).parent / "templates").glob("*.jinja")}
    templates["smollm2"] = GGUFReader(folder / "model.gguf").fields["tokenizer.chat_template"].contents()
    rendered = []
    for item in json.loads((folder / "chats.json").read_text()):
        jinja = templates[item["template"]]
        marked = "{% generation %}" in jinja
        texts, spans = render_jinja_template(conversations=[item["messages"]], chat_template=jinja, return_assistant_tokens_mask=marked,
                                             add_generation_prompt=item["for_answer"], bos_token="<|begin_of_text|>")
        assistant = "".join(texts[0][begin:end] for begin, end in spans[0]) if marked else None
        rendered.append({"text": texts[0], "assistant": assistant})
    return rendered


commands = {"dequantize": dequantize, "safetensors": safetensors, "peft": peft, "llama_cpp": llama_cpp, "chat": chat}
print(json.dumps(commands[sys.argv[1]](pathlib.Path(sys.argv[2]))))
