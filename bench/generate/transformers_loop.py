"""One batch through transformers' generate: transformers_loop.py FILE.gguf PROMPTS.json [--tokens N] [--threads N]

PROMPTS.json is a list of lists of token ids, all of one length. Weights and activations are bf16, decoding is greedy, and every answer has N
tokens. Prints `tokens_per_second`: generated tokens over the whole call, prompts included.
"""
import argparse
import json
import os
import time

import torch
from transformers import AutoModelForCausalLM, GgufConfig

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("prompts")
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--threads", type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(args.threads or len(os.sched_getaffinity(0)))
folder, name = os.path.split(os.path.abspath(args.model))
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True))
model.eval()
with open(args.prompts) as file:
    prompts = torch.tensor(json.load(file))


def generate(rows, tokens):
    with torch.inference_mode():
        return model.generate(rows, attention_mask=torch.ones_like(rows), do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens,
                              pad_token_id=0)


generate(prompts[:1, :16], 2)  # Allocations and code paths.
start = time.perf_counter()
generated = generate(prompts, args.tokens).shape[1] - prompts.shape[1]
seconds = time.perf_counter() - start
print(f"tokens_per_second {generated * prompts.shape[0] / seconds:.1f} tokens/s", flush=True)
