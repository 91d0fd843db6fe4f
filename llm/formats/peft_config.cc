// adapter_config.json. Fields and defaults: peft/tuners/lora/config.py.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/peft.h"

namespace crossover::llm {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Keys that are read, or that do not change what a trained adapter computes.
constexpr std::array<std::string_view, 22> kHarmless = {
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    "auto_mapping",
    "r",
    "lora_alpha",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "exclude_modules",
    "lora_dropout",
    "layers_to_transform",
    "layers_pattern",
    "megatron_core",
    "qalora_group_size",
    "eva_config",
    "runtime_config",
};

// Values of init_lora_weights after which W' = W + scale B A still holds for the original W.
constexpr std::array<std::string_view, 3> kHarmlessInit = {"gaussian", "orthogonal", "eva"};

absl::Status InvalidPeftConfig(std::string_view path, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(ToAbsl(path), ": ", ToAbsl(message)));
}

absl::Status UnsupportedPeftConfig(std::string_view path, std::string_view key,
                                   const OrderedJson& value) {
  return Error(
      absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
      absl::StrCat(ToAbsl(path), ": '", ToAbsl(key), "' is ",
                   value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).substr(0, 200),
                   ", which changes what the adapter computes and is not supported"));
}

bool IsEmptyValue(const OrderedJson& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         ((value.is_structured() || value.is_string()) && value.empty()) ||
         (value.is_string() && value.get<std::string>().empty());
}

bool IsDefault(std::string_view key, const OrderedJson& value) {
  if (IsEmptyValue(value)) return true;
  if (key == "bias") return value == "none";
  if (key != "init_lora_weights") return false;
  if (value.is_boolean()) return true;
  return value.is_string() && std::find(kHarmlessInit.begin(), kHarmlessInit.end(),
                                        value.get<std::string>()) != kHarmlessInit.end();
}

absl::Status CheckKeys(const OrderedJson& root, std::string_view path) {
  for (const auto& [key, value] : root.items()) {
    const bool harmless = std::find(kHarmless.begin(), kHarmless.end(), key) != kHarmless.end();
    if (!harmless && !IsDefault(key, value)) return UnsupportedPeftConfig(path, key, value);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadRank(const OrderedJson& value, std::string_view key,
                                 std::string_view path) {
  if (value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= 65536) {
    return value.get<int64_t>();
  }
  return InvalidPeftConfig(path,
                           absl::StrCat("'", ToAbsl(key), "' must be an integer from 1 to 65536"));
}

absl::StatusOr<double> ReadNumber(const OrderedJson& value, std::string_view key,
                                  std::string_view path) {
  if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
  return InvalidPeftConfig(path, absl::StrCat("'", ToAbsl(key), "' must be a number"));
}

absl::Status ReadPatterns(const OrderedJson& root, std::string_view path, LoraConfig& config) {
  for (const char* name : {"rank_pattern", "alpha_pattern"}) {
    if (!root.contains(name) || root[name].is_null()) continue;
    if (!root[name].is_object())
      return InvalidPeftConfig(path, absl::StrCat("'", name, "' must be an object"));
    for (const auto& [key, value] : root[name].items()) {
      const std::string full = absl::StrCat(name, ".", key);
      if (std::string_view(name) == "rank_pattern") {
        ASSIGN_OR_RETURN(const int64_t rank, ReadRank(value, full, path));
        config.rank_pattern.emplace_back(key, rank);
      } else {
        ASSIGN_OR_RETURN(const double alpha, ReadNumber(value, full, path));
        config.alpha_pattern.emplace_back(key, alpha);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTargets(const OrderedJson& root, std::string_view path, LoraConfig& config) {
  const auto targets = root.find("target_modules");
  if (targets == root.end() || targets->is_null() || targets->is_string()) return absl::OkStatus();
  if (!targets->is_array())
    return InvalidPeftConfig(path, "'target_modules' must be a list or a string");
  for (const OrderedJson& target : *targets) {
    if (!target.is_string()) return InvalidPeftConfig(path, "'target_modules' must hold strings");
    config.target_modules.push_back(target.get<std::string>());
  }
  std::sort(config.target_modules.begin(), config.target_modules.end());
  return absl::OkStatus();
}

template <typename T>
T ValueFor(std::string_view module, const std::vector<std::pair<std::string, T>>& patterns,
           T fallback) {
  for (const auto& [key, value] : patterns) {
    if (LoraConfig::Matches(key, module)) return value;
  }
  return fallback;
}

absl::Status ReadFlag(const OrderedJson& root, const char* key, std::string_view path, bool& flag) {
  if (!root.contains(key) || root[key].is_null()) return absl::OkStatus();
  if (!root[key].is_boolean()) {
    return InvalidPeftConfig(path, absl::StrCat("'", key, "' must be true or false"));
  }
  flag = root[key].get<bool>();
  return absl::OkStatus();
}

// An index or a list of them.
absl::Status ReadLayers(const OrderedJson& root, std::string_view path, LoraConfig& config) {
  const auto layers = root.find("layers_to_transform");
  if (layers == root.end() || layers->is_null()) return absl::OkStatus();
  const OrderedJson list = layers->is_array() ? *layers : OrderedJson::array({*layers});
  for (const OrderedJson& layer : list) {
    if (!layer.is_number_integer()) {
      return InvalidPeftConfig(path,
                               "'layers_to_transform' must be an integer or a list of integers");
    }
    config.layers.push_back(layer.get<int64_t>());
  }
  return absl::OkStatus();
}

// 32 rather than 32.0: PEFT's own files hold an int where the value is whole.
Json NumberJson(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

}  // namespace

// PEFT's get_pattern_key: re.match("(.*\.)?(key)$", module).
bool LoraConfig::Matches(const std::string& key, std::string_view module) {
  const std::string pattern = "^(.*\\.)?(" + key + ")$";
  int error = 0;
  PCRE2_SIZE position = 0;
  const std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), 0, &error,
                    &position, nullptr),
      pcre2_code_free);
  if (code == nullptr) return key == module;
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create_from_pattern(code.get(), nullptr), pcre2_match_data_free);
  return pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(module.data()), module.size(), 0, 0,
                     match.get(), nullptr) >= 0;
}

int64_t LoraConfig::RankOf(std::string_view module) const {
  return ValueFor(module, rank_pattern, rank);
}

double LoraConfig::ScaleOf(std::string_view module) const {
  const double module_alpha = ValueFor(module, alpha_pattern, alpha);
  const double module_rank = static_cast<double>(RankOf(module));
  return module_alpha / (rslora ? std::sqrt(module_rank) : module_rank);
}

absl::StatusOr<LoraConfig> ParseLoraConfig(std::string_view json, std::string_view path) {
  const OrderedJson root = OrderedJson::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return InvalidPeftConfig(path, "is not a JSON object");
  if (!root.contains("peft_type") || root["peft_type"] != "LORA") {
    return InvalidPeftConfig(path, "'peft_type' must be \"LORA\"");
  }
  RETURN_IF_ERROR(CheckKeys(root, path));
  LoraConfig config;
  if (root.contains("r")) {
    ASSIGN_OR_RETURN(config.rank, ReadRank(root["r"], "r", path));
  }
  if (root.contains("lora_alpha")) {
    ASSIGN_OR_RETURN(config.alpha, ReadNumber(root["lora_alpha"], "lora_alpha", path));
  }
  if (root.contains("lora_dropout")) {
    ASSIGN_OR_RETURN(config.dropout, ReadNumber(root["lora_dropout"], "lora_dropout", path));
  }
  RETURN_IF_ERROR(ReadFlag(root, "use_rslora", path, config.rslora));
  RETURN_IF_ERROR(ReadFlag(root, "use_dora", path, config.dora));
  RETURN_IF_ERROR(ReadLayers(root, path, config));
  const auto base = root.find("base_model_name_or_path");
  if (base != root.end() && base->is_string()) config.base_model = base->get<std::string>();
  RETURN_IF_ERROR(ReadPatterns(root, path, config));
  RETURN_IF_ERROR(ReadTargets(root, path, config));
  return config;
}

absl::StatusOr<std::string> WithBaseModel(std::string_view json, std::string_view path,
                                          const std::string& base_model) {
  RETURN_IF_ERROR(ParseLoraConfig(json, path).status());
  OrderedJson root = OrderedJson::parse(json);
  root["base_model_name_or_path"] = base_model;
  root["revision"] = nullptr;  // of the base that had another name
  return root.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string LoraConfigJson(const LoraConfig& config) {
  std::vector<std::string> targets = config.target_modules;
  std::sort(targets.begin(), targets.end());
  Json ranks = Json::object();
  for (const auto& [key, value] : config.rank_pattern) ranks[key] = value;
  Json alphas = Json::object();
  for (const auto& [key, value] : config.alpha_pattern) alphas[key] = NumberJson(value);
  const Json root = {
      {"alpha_pattern", alphas},
      {"auto_mapping", nullptr},
      {"base_model_name_or_path", config.base_model},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"layers_to_transform", config.layers.empty() ? Json(nullptr) : Json(config.layers)},
      {"lora_alpha", NumberJson(config.alpha)},
      {"lora_dropout", config.dropout},
      {"modules_to_save", nullptr},
      {"peft_type", "LORA"},
      {"r", config.rank},
      {"rank_pattern", ranks},
      {"revision", nullptr},
      {"target_modules", targets},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", config.dora},
      {"use_rslora", config.rslora},
  };
  // nlohmann::json keeps object keys sorted.
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace crossover::llm
