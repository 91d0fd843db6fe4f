#include "llm/tokenizer/hf_files.h"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "llm/tokenizer/pretokenizer.h"

namespace crossover::llm {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string Dump(const OrderedJson& json) {
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

OrderedJson AddedTokens(const Tokenizer::Parts& parts) {
  OrderedJson list = OrderedJson::array();
  for (const AddedToken& token : parts.added) {
    list.push_back({{"id", token.id},
                    {"content", token.text},
                    {"single_word", false},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return list;
}

OrderedJson ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

constexpr char kMetaspace[] = "\u2581";

OrderedJson Metaspace(const Tokenizer::Parts& parts) {
  const char* scheme = parts.prefix == Tokenizer::Prefix::kNone           ? "never"
                       : parts.prefix == Tokenizer::Prefix::kFirstStretch ? "first"
                                                                          : "always";
  return {{"type", "Metaspace"},
          {"replacement", kMetaspace},
          {"prepend_scheme", scheme},
          {"split", parts.split_at_spaces}};
}

// As transformers writes a converted SentencePiece model.
OrderedJson NormalizerOf(const Tokenizer::Parts& parts) {
  if (!parts.sentencepiece) return parts.nfc ? OrderedJson{{"type", "NFC"}} : OrderedJson();
  if (parts.prefix_unless_spaced) return OrderedJson();  // Metaspace does it.
  OrderedJson steps = OrderedJson::array();
  if (parts.prefix != Tokenizer::Prefix::kNone)
    steps.push_back({{"type", "Prepend"}, {"prepend", kMetaspace}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMetaspace}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

OrderedJson DecoderOf(const Tokenizer::Parts& parts) {
  if (!parts.sentencepiece) return ByteLevel(true);
  OrderedJson steps = OrderedJson::array();
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", kMetaspace}}}, {"content", " "}});
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (parts.prefix != Tokenizer::Prefix::kNone)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

OrderedJson PreTokenizerOf(const Tokenizer::Parts& parts) {
  if (parts.sentencepiece) return parts.prefix_unless_spaced ? Metaspace(parts) : OrderedJson();
  OrderedJson steps = OrderedJson::array();
  bool gpt2 = false;
  for (size_t i = 0; i < parts.patterns.size(); ++i) {
    const std::string& pattern = parts.patterns[i];
    // ByteLevel has this pattern itself and must come last.
    gpt2 = i + 1 == parts.patterns.size() && pattern == patterns::kGpt2;
    if (gpt2) break;
    if (pattern == patterns::kEachDigit || pattern == patterns::kDigitRuns) {
      steps.push_back({{"type", "Digits"}, {"individual_digits", pattern == patterns::kEachDigit}});
      continue;
    }
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(ByteLevel(gpt2));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

OrderedJson PostProcessorOf(const Tokenizer::Parts& parts) {
  if (!parts.adds_bos || !parts.bos_id)
    return parts.sentencepiece ? OrderedJson() : ByteLevel(true);
  const std::string& bos = parts.tokens[static_cast<size_t>(*parts.bos_id)];
  const auto special = [&](int type) {
    return OrderedJson{{"SpecialToken", {{"id", bos}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* id, int type) {
    return OrderedJson{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", {special(0), sequence("A", 0)}},
          {"pair", {special(0), sequence("A", 0), special(1), sequence("B", 1)}},
          {"special_tokens", {{bos, {{"id", bos}, {"ids", {*parts.bos_id}}, {"tokens", {bos}}}}}}};
}

OrderedJson ModelOf(const Tokenizer::Parts& parts) {
  OrderedJson vocabulary = OrderedJson::object();
  auto& entries = vocabulary.get_ref<OrderedJson::object_t&>();
  std::unordered_set<std::string_view> seen;
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    // Straight to the end: ordered_json would search all entries before it for each.
    if (seen.insert(parts.tokens[id]).second) entries.emplace_back(parts.tokens[id], id);
  }
  OrderedJson merges = OrderedJson::array();
  for (const auto& [left, right] : parts.merges) merges.push_back({left, right});
  OrderedJson unknown;
  if (parts.unknown_id >= 0) unknown = parts.tokens[static_cast<size_t>(parts.unknown_id)];
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", parts.fuse_unknown},
          {"byte_fallback", parts.sentencepiece},
          {"ignore_merges", parts.ignore_merges},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::string TokenizerJson(const Tokenizer::Parts& parts) {
  return Dump({{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", AddedTokens(parts)},
               {"normalizer", NormalizerOf(parts)},
               {"pre_tokenizer", PreTokenizerOf(parts)},
               {"post_processor", PostProcessorOf(parts)},
               {"decoder", DecoderOf(parts)},
               {"model", ModelOf(parts)}});
}

std::string TokenizerConfigJson(const Tokenizer::Parts& parts, const std::string& chat_template,
                                int64_t context_length) {
  OrderedJson root = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                      {"clean_up_tokenization_spaces", false},
                      {"model_max_length", context_length},
                      {"add_bos_token", parts.adds_bos}};
  if (parts.adds_eos) root["add_eos_token"] = true;
  if (parts.bos_id) root["bos_token"] = parts.tokens[static_cast<size_t>(*parts.bos_id)];
  if (parts.eos_id) {
    root["eos_token"] = parts.tokens[static_cast<size_t>(*parts.eos_id)];
    root["pad_token"] = root["eos_token"];
  }
  if (!chat_template.empty()) root["chat_template"] = chat_template;
  return Dump(root);
}

}  // namespace crossover::llm
