"""The same rows with TRL's SFTTrainer, as its documentation sets it up: trl_loop.py FILE.gguf ROWS.json [--batch N]

ROWS.json is a list of {"ids", "weights"}; a token with a weight is part of the completion. LoRA r 16 on all linear layers, bf16
(--dtype float32 for processors that do not multiply it), loss on completions only, one epoch.
"""
import argparse
import json
import os
import resource
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from trl import SFTConfig, SFTTrainer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("rows")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--threads", type=int, default=0)
parser.add_argument("--rate", type=float, default=8e-4)
parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
args = parser.parse_args()

torch.set_num_threads(args.threads or len(os.sched_getaffinity(0)))
folder, name = os.path.split(os.path.abspath(args.model))
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=getattr(torch, args.dtype), quantization_config=GgufConfig(dequantize=True))
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
rows = json.load(open(args.rows))
tokens = sum(len(row["ids"]) for row in rows)
data = Dataset.from_list([{"input_ids": row["ids"], "completion_mask": [int(w != 0) for w in row["weights"]]} for row in rows])
with tempfile.TemporaryDirectory() as output:
    config = SFTConfig(
        output_dir=output, per_device_train_batch_size=args.batch, num_train_epochs=1, learning_rate=args.rate, lr_scheduler_type="cosine",
        warmup_steps=5, logging_steps=1000, bf16=args.dtype == "bfloat16", use_cpu=True, max_length=8192, report_to=[], save_strategy="no",
        completion_only_loss=True, gradient_checkpointing=False, dataloader_pin_memory=False, seed=1)
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    start = time.time()
    trainer.train()
    seconds = time.time() - start
print(f"trl.tokens_per_second {tokens / seconds:.0f} tokens/s")
print(f"trl.peak_rss_mb {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
