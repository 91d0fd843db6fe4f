"""The same training as bench/train/train.cc with transformers and PEFT: peft_loop.py FILE.gguf ROWS.json [--batch N] [--adapter DIR]

ROWS.json is a list of {"ids", "weights"}. Rows are taken in order, one epoch, LoRA r 16 on all linear layers, bf16 base and autocast
(--dtype float32 for processors that do not multiply bf16), fp32 adapter, logits computed for trained positions only. --adapter DIR: start from (and with --losses FILE, log losses for)
a given adapter instead of PEFT's own initialisation; --save DIR keeps PEFT's initial adapter.
"""
import argparse
import json
import math
import os
import resource
import time

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GgufConfig

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("rows")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--threads", type=int, default=0)
parser.add_argument("--rate", type=float, default=8e-4)
parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
parser.add_argument("--save-initial", help="folder for the initial adapter")
parser.add_argument("--save-final", help="folder for the trained adapter")
parser.add_argument("--losses", help="file for one loss per line")
args = parser.parse_args()

torch.set_num_threads(args.threads or len(os.sched_getaffinity(0)))
torch.manual_seed(1)
folder, name = os.path.split(os.path.abspath(args.model))
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=getattr(torch, args.dtype), quantization_config=GgufConfig(dequantize=True))
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
parameters = [p for p in model.parameters() if p.requires_grad]
for parameter in parameters:
    parameter.data = parameter.data.float()
if args.save_initial:
    model.save_pretrained(args.save_initial)

rows = [(row["ids"], row["weights"]) for row in json.load(open(args.rows))]
optimizer = torch.optim.AdamW(parameters, lr=args.rate, weight_decay=0.0, fused=True)
steps = (len(rows) + args.batch - 1) // args.batch
decoder = model.base_model.model
losses, best, tokens, start = [], 0.0, 0, time.time()
for step in range(steps):
    began = time.time()
    batch = rows[step * args.batch:(step + 1) * args.batch]
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    weights = torch.zeros(len(batch), longest)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for i, (row, row_weights) in enumerate(batch):
        ids[i, :len(row)] = torch.tensor(row)
        weights[i, :len(row)] = torch.tensor(row_weights)
        mask[i, :len(row)] = 1
    rate = args.rate * min(1, (step + 1) / 5) * 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bfloat16"):
        hidden = decoder.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
        trained = weights[:, 1:] != 0
        loss = torch.nn.functional.cross_entropy(decoder.lm_head(hidden[trained]).float(), ids[:, 1:][trained])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
    count = sum(len(row) for row, _ in batch)
    tokens += count
    best = max(best, count / (time.time() - began))
seconds = time.time() - start
if args.losses:
    open(args.losses, "w").write("".join(f"{loss:.6f}\n" for loss in losses))
if args.save_final:
    model.save_pretrained(args.save_final)
print(f"peer.best_step_tokens_per_second {best:.0f} tokens/s")
print(f"peer.tokens_per_second {tokens / seconds:.0f} tokens/s")
print(f"peer.peak_rss_mb {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
