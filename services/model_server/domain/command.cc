#include "services/model_server/domain/command.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::inference {
namespace {

// Collects what is wrong with the fields of one message.
class Violations {
 public:
  explicit Violations(std::string prefix) : prefix_(std::move(prefix)) {}

  void Check(bool sound, const std::string& field, const std::string& rule) {
    if (!sound) list_.push_back({prefix_ + field, rule});
  }

  absl::Status ToStatus() && {
    if (list_.empty()) return absl::OkStatus();
    const std::string message = absl::StrCat(list_[0].field, " ", list_[0].description);
    return Error(absl::StatusCode::kInvalidArgument, message,
                 {.reason = "FIELD_INVALID", .violations = std::move(list_)});
  }

 private:
  std::string prefix_;
  std::vector<FieldViolation> list_;
};

bool Within(const std::optional<double>& value, double low, double high) {
  return !value || (std::isfinite(*value) && *value >= low && *value <= high);
}

bool Within(const std::optional<int64_t>& value, int64_t low, int64_t high) {
  return !value || (*value >= low && *value <= high);
}

}  // namespace

absl::Status Validate(const Sampling& sampling, const std::string& prefix) {
  Violations wrong(prefix);
  wrong.Check(Within(sampling.temperature, 0, 2), "temperature", "must be from 0 to 2");
  wrong.Check(Within(sampling.top_p, 0, 1) && sampling.top_p.value_or(1) > 0, "top_p",
              "must be over 0 and at most 1");
  wrong.Check(Within(sampling.top_k, 0, INT32_MAX), "top_k", "must be 0 (off) or more");
  wrong.Check(Within(sampling.n, 1, 128), "n", "must be from 1 to 128");
  wrong.Check(Within(sampling.max_tokens, 1, INT32_MAX), "max_tokens", "must be at least 1");
  wrong.Check(Within(sampling.logprobs, 0, 20), "logprobs", "must be from 0 to 20");
  wrong.Check(
      Within(sampling.repetition_penalty, 0, 10) && sampling.repetition_penalty.value_or(1) > 0,
      "repetition_penalty", "must be over 0 and at most 10; 1 is off");
  wrong.Check(Within(sampling.presence_penalty, -2, 2), "presence_penalty", "must be from -2 to 2");
  wrong.Check(Within(sampling.frequency_penalty, -2, 2), "frequency_penalty",
              "must be from -2 to 2");
  wrong.Check(sampling.stop.size() <= 16, "stop", "may hold at most 16 texts");
  const bool has_empty = std::any_of(sampling.stop.begin(), sampling.stop.end(),
                                     [](const auto& text) { return text.empty(); });
  wrong.Check(!has_empty, "stop", "may not hold an empty text");
  for (const auto& [id, bias] : sampling.logit_bias) {
    wrong.Check(id >= 0 && std::isfinite(bias) && std::fabs(bias) <= 100,
                absl::StrCat("logit_bias[", id, "]"),
                "must be a token id with a bias from -100 to 100");
  }
  return std::move(wrong).ToStatus();
}

std::optional<llm::ConstraintSpec> ConstraintOf(const GenerateCommand& command) {
  llm::ConstraintSpec call{.kind = llm::ConstraintSpec::Kind::kToolCall};
  if (const auto* chat = std::get_if<ChatPrompt>(&command.prompt)) {
    for (const llm::ChatTool& tool : chat->tools) {
      if (command.forced_tool.value_or("").empty() || tool.name == *command.forced_tool)
        call.tools.push_back({tool.name, tool.parameters});
    }
  }
  if (command.forced_tool) return call;
  if (!command.constraint || call.tools.empty()) return command.constraint;
  return llm::ConstraintSpec{.kind = llm::ConstraintSpec::Kind::kAnyOf,
                             .alternatives = {*command.constraint, std::move(call)}};
}

llm::Sampling ToEngine(const Sampling& sampling, uint64_t seed, int64_t index, int64_t room,
                       const std::vector<int32_t>& stop_ids) {
  llm::Sampling out;
  out.temperature = sampling.temperature.value_or(1.0);
  out.top_p = sampling.top_p.value_or(1.0);
  out.top_k = static_cast<int>(sampling.top_k.value_or(0));
  // Answers of one request are different draws; the first is that of the same request with n = 1.
  out.seed = seed + 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(index);
  out.max_tokens = sampling.max_tokens ? std::min(*sampling.max_tokens, room) : room;
  out.stop_ids = stop_ids;
  out.stop = sampling.stop;
  for (const auto& [id, bias] : sampling.logit_bias)
    out.logit_bias.push_back({id, static_cast<float>(bias)});
  out.repetition_penalty = sampling.repetition_penalty.value_or(1);
  out.presence_penalty = sampling.presence_penalty.value_or(0);
  out.frequency_penalty = sampling.frequency_penalty.value_or(0);
  out.top_logprobs = static_cast<int>(sampling.logprobs.value_or(-1));
  return out;
}

}  // namespace crossover::inference
