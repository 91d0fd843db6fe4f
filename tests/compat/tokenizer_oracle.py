"""Compares token ids with huggingface/tokenizers and, when it is installed, llama.cpp. Usage: tokenizer_oracle.py COMMAND MODEL.gguf FILE

compare  FILE is JSONL of {"text", "ids", "decoded"}; prints {"lines", "hf_differences", "llama_cpp_differences" (null: not
         installed), "hf_seconds": in encode, "examples"}
save     writes Hugging Face's tokenizer of the model to FILE, a tokenizer.json; prints {"saved": whether there is one}
"""
import json
import sys
import time
import unicodedata

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def build_sentencepiece(field):
    """As transformers converts Llama 2's and Mistral's SentencePiece models."""
    tokens, types, scores = (field(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type", "scores"))
    vocab = {token: i for i, token in enumerate(tokens)}
    mergeable = {token: score for token, score, kind in zip(tokens, scores, types) if kind in (1, 4)}
    merges = []  # transformers.convert_slow_tokenizer.generate_merges
    for piece, score in mergeable.items():
        parts = [(piece[:i], piece[i:], score) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        merges += sorted(parts, key=lambda part: (vocab[part[0]], vocab[part[1]]))
    merges = [merge[:2] for merge in sorted(merges, key=lambda merge: (merge[2], len(merge[0]), len(merge[1])), reverse=True)]
    unknown = tokens[types.index(2)]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind in (2, 3)])
    return tokenizer


def build(reader):
    """The tokenizer that the model's tokenizer.json describes; None where only llama.cpp defines it."""
    field = lambda key: reader.fields[key].contents()
    if field("tokenizer.ggml.model") == "llama":
        return build_sentencepiece(field)
    pre = field("tokenizer.ggml.pre")
    if pre == "default":
        return None
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=pre == "llama-bpe"))
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = {
        "gpt-2": lambda: gpt2,
        "smollm": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2]),
        "llama-bpe": lambda: split(LLAMA3),
        "qwen2": lambda: split(QWEN2),
    }[pre]()
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind == 3])
    return tokenizer


def missing_bytes(reader):
    """Bytes without an entry. Hugging Face drops them before merging, llama.cpp after, so what surrounds them can differ."""
    vocab = set(reader.fields["tokenizer.ggml.tokens"].contents())
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    alphabet = {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(rest)}
    return {byte for byte, char in alphabet.items() if char not in vocab}


def llama_cpp(path):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    return Llama(path, vocab_only=True, verbose=False)


def save(model, path):
    hf = build(GGUFReader(model))
    if hf:
        hf.save(path)
    print(json.dumps({"saved": hf is not None}))


def compare(model, lines):
    reader = GGUFReader(model)
    hf, llama = build(reader), llama_cpp(model)
    sentencepiece = reader.fields["tokenizer.ggml.model"].contents() == "llama"
    normalizes = not sentencepiece and reader.fields["tokenizer.ggml.pre"].contents() == "qwen2"
    missing = set() if sentencepiece else missing_bytes(reader)
    counts = {"lines": 0, "llama_cpp_lines": 0, "hf_differences": 0, "llama_cpp_differences": 0 if llama else None, "examples": []}
    counts["hf_seconds"] = 0.0
    for line in open(lines, encoding="utf-8"):
        row = json.loads(line)
        counts["lines"] += 1
        if hf:
            begin = time.perf_counter()
            ids = hf.encode(row["text"], add_special_tokens=False).ids
            counts["hf_seconds"] += time.perf_counter() - begin
            if ids != row["ids"] or hf.decode(ids, skip_special_tokens=True) != row["decoded"]:
                counts["hf_differences"] += 1
                if len(counts["examples"]) < 5:
                    counts["examples"].append({"text": row["text"], "hf": ids, "ours": row["ids"]})
        # llama.cpp has no normalizers.
        comparable = not (normalizes and not unicodedata.is_normalized("NFC", row["text"]))
        if llama and comparable and not missing.intersection(row["text"].encode()):
            counts["llama_cpp_lines"] += 1
            ids = llama.tokenize(row["text"].encode(), add_bos=False, special=True)
            if ids != row["ids"]:
                counts["llama_cpp_differences"] += 1
                if len(counts["examples"]) < 5:
                    counts["examples"].append({"text": row["text"], "llama_cpp": ids, "ours": row["ids"]})
    print(json.dumps(counts))


if __name__ == "__main__":
    {"compare": compare, "save": save}[sys.argv[1]](*sys.argv[2:])
