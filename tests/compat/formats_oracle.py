"""Checks files and numbers of llm/formats with the programs they are meant for. Usage: formats_oracle.py COMMAND FOLDER

dequantize  each *.blocks (bytes) and *.floats (ours) with gguf.quants; each *.values and *.encoded with gguf's quantiser
quantize    values: llama.cpp's quantiser against *.encoded, ours (null: not installed)
safetensors ours.safetensors: the reference reads it and writes the same bytes; writes reference.safetensors for us
peft        the folder is an adapter that PeftModel loads onto a small llama; prints sums of the loaded matrices
llama_cpp   base.gguf, f16.gguf, q8_0.gguf: greedy continuations by llama.cpp (null: not installed)
chat        renders chats.json with the template of model.gguf or templates/*.jinja by transformers' own code; what an assistant says
            by {% generation %}
jinja       cases.json: each template with its variables, rendered by transformers' engine
exports     hf is a folder that transformers loads: logits, token ids, chat, end tokens
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


def quantize(folder):
    """llama.cpp's quantiser on the numbers of `values`: its error, and how many bytes of TYPE.encoded it writes otherwise."""
    try:
        import llama_cpp
    except ImportError:
        return None
    import ctypes
    import gguf
    lib = ctypes.CDLL(str(next(pathlib.Path(llama_cpp.__file__).parent.rglob("libggml-base.so*"))))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    values = np.fromfile(folder / "values", dtype=np.float32)
    answer = {}
    for path in folder.glob("*.encoded"):
        kind = gguf.GGMLQuantizationType[path.stem]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        encoded = np.zeros(values.size // block * size, dtype=np.uint8)
        lib.ggml_quantize_chunk(int(kind), values.ctypes.data, encoded.ctypes.data, 0, values.size // 256, 256, None)
        back = gguf.quants.dequantize(encoded.reshape(-1, size), kind).reshape(-1)
        error = float(np.sqrt(np.mean((back.astype(np.float64) - values) ** 2)))
        answer[path.stem] = {"error": error, "different": int((encoded != np.fromfile(path, dtype=np.uint8)).sum())}
    return answer


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


def jinja(folder):
    """Each of cases.json ({"template": path, "variables"}) as transformers' engine renders it: {"text"} or {"error"}."""
    from datetime import datetime
    from transformers.utils.chat_template_utils import _compile_jinja_template
    compiled, answers = {}, []
    for case in json.loads((folder / "cases.json").read_text()):
        path = case["template"]
        try:
            if path not in compiled:
                compiled[path] = _compile_jinja_template(pathlib.Path(path).read_text())
            text = compiled[path].render(strftime_now=lambda form: datetime(2025, 2, 1).strftime(form), **case["variables"])
            answers.append({"text": text})
        except Exception as error:  # Whatever the template or Jinja raises is the answer.
            answers.append({"error": f"{type(error).__name__}: {error}"})
    return answers


def exports(folder):
    """Loads FOLDER/hf as transformers does: logits for ids.json, ids of texts.json, rendered chat."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    texts = json.loads((folder / "texts.json").read_text())
    ids = tokenizer(texts[0], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model(torch.tensor([ids])).logits[0].float().numpy().tofile(folder / "hf.logits")
    return {"ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts],
            "chat": tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True),
            "eos": model.generation_config.eos_token_id}


commands = {"dequantize": dequantize, "quantize": quantize, "safetensors": safetensors, "peft": peft, "llama_cpp": llama_cpp, "chat": chat, "jinja": jinja, "exports": exports}
print(json.dumps(commands[sys.argv[1]](pathlib.Path(sys.argv[2]))))
