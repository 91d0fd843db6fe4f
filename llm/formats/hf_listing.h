// Which files of a Hugging Face folder are the model. Links are followed: the cache of Hugging Face
// is made of them.
#pragma once

#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::llm {

inline constexpr char kHfConfigFile[] = "config.json";
inline constexpr char kHfTokenizerFile[] = "tokenizer.json";

// What says nothing of weights, where it is there.
inline constexpr std::array<std::string_view, 8> kHfTokenizerFiles = {kHfTokenizerFile,
                                                                      "tokenizer_config.json",
                                                                      "special_tokens_map.json",
                                                                      "added_tokens.json",
                                                                      "vocab.json",
                                                                      "merges.txt",
                                                                      "tokenizer.model",
                                                                      "chat_template.jinja"};

// The names of the folder's weight files: model.safetensors, or what model.safetensors.index.json
// lists. NotFound FILE_MISSING names the one that is not there; Unimplemented MODEL_UNSUPPORTED a
// pickle that is there instead; InvalidArgument FORMAT_INVALID an index that is none or names a
// file outside the folder.
absl::StatusOr<std::set<std::string>> HfWeightFiles(const std::filesystem::path& folder);

// Every file that a model is made of, sorted: configuration, tokenizer, weights and their index.
// Never programs, pickles, or weights in other formats. Errors of HfWeightFiles; NotFound
// FILE_MISSING without config.json or tokenizer.json; FailedPrecondition FILE_UNREADABLE for one
// that cannot be looked at or is no file.
absl::StatusOr<std::vector<std::string>> HfModelFiles(const std::filesystem::path& folder);

// For folders that somebody else names: who may import a folder may read what it holds, but not, by
// a link, what else this process can. FailedPrecondition FILE_UNREADABLE for a link out of the
// folder and, in the cache of Hugging Face, out of the model's part of it.
absl::Status CheckHfLinks(const std::filesystem::path& folder,
                          const std::vector<std::string>& files);

}  // namespace crossover::llm
