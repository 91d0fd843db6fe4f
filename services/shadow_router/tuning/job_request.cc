#include "services/shadow_router/tuning/job_request.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

absl::Status BadField(const std::string& field, const std::string& description) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("'", field, "' ", description),
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{field, description}}});
}

absl::Status MissingField(const std::string& field) {
  return Error(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("you must provide a '", field, "' parameter"),
      {.reason = "FIELD_REQUIRED", .metadata = {}, .violations = {{field, "is required"}}});
}

// The field's value; null if it is absent, null or "auto".
Json Given(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() || *found == "auto" ? Json() : *found;
}

absl::StatusOr<std::string> TextOf(const Json& object, const char* field, bool required) {
  const auto found = object.find(field);
  if (found == object.end() || found->is_null()) {
    return required ? absl::StatusOr<std::string>(MissingField(field)) : std::string();
  }
  if (!found->is_string()) return BadField(field, "must be a string");
  std::string text = found->get<std::string>();
  if (required && text.empty()) return MissingField(field);
  return text;
}

absl::Status OnlyKnown(const Json& object, const std::string& prefix,
                       const std::set<std::string>& known) {
  for (const auto& [key, value] : object.items()) {
    if (known.contains(key)) continue;
    return BadField(prefix + key,
                    absl::StrCat("is not known here; known are ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

struct Range {
  double low;
  bool low_is_in;
  double high;
  bool whole;
};

// The number of a hyperparameter; NaN if it is auto.
absl::StatusOr<double> HyperNumber(const Json& object, const std::string& prefix, const char* field,
                                   const Range& range) {
  const Json value = Given(object, field);
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  const double number = value.is_number() ? value.get<double>() : 0;
  const bool fits = value.is_number() &&
                    (range.low_is_in ? number >= range.low : number > range.low) &&
                    number <= range.high && (!range.whole || std::floor(number) == number);
  if (fits) return number;
  const std::string wanted =
      std::isinf(range.high)
          ? absl::StrCat("a number greater than ", range.low)
          : absl::StrCat(range.whole ? "a whole number from " : "a number ",
                         range.low_is_in ? "" : "above ", range.low, " to ", range.high);
  return BadField(prefix + field,
                  absl::StrCat("is ", value.dump(), "; must be ", wanted, " or \"auto\""));
}

absl::Status ReadHyperparameters(const Json& object, const std::string& prefix, bool preference,
                                 scheduler::v1::TrainingSpec& spec) {
  if (object.is_null()) return absl::OkStatus();
  if (!object.is_object()) {
    return BadField(prefix.substr(0, prefix.size() - 1), "must be an object");
  }
  std::set<std::string> known = {"batch_size", "learning_rate_multiplier", "n_epochs"};
  if (preference) known.insert("beta");
  RETURN_IF_ERROR(OnlyKnown(object, prefix, known));
  ASSIGN_OR_RETURN(double epochs, HyperNumber(object, prefix, "n_epochs", {1, true, 50, true}));
  ASSIGN_OR_RETURN(double batch, HyperNumber(object, prefix, "batch_size", {1, true, 256, true}));
  ASSIGN_OR_RETURN(double rate,
                   HyperNumber(object, prefix, "learning_rate_multiplier",
                               {0, false, std::numeric_limits<double>::infinity(), false}));
  ASSIGN_OR_RETURN(double beta, HyperNumber(object, prefix, "beta", {0, false, 2, false}));
  if (!std::isnan(epochs)) spec.set_epochs(epochs);
  if (!std::isnan(batch)) spec.set_batch_size(static_cast<int32_t>(batch));
  if (!std::isnan(rate)) spec.set_learning_rate_multiplier(rate);
  if (!std::isnan(beta)) spec.set_preference_beta(beta);
  return absl::OkStatus();
}

absl::Status ReadMethod(const Json& body, TuningRequest& request) {
  scheduler::v1::TrainingSpec& spec = *request.job.mutable_spec()->mutable_training();
  const Json method = Given(body, "method");
  std::string type = "supervised";
  if (!method.is_null()) {
    if (!method.is_object()) return BadField("method", "must be an object");
    ASSIGN_OR_RETURN(type, TextOf(method, "type", true));
    if (type != "supervised" && type != "dpo") {
      return BadField("method.type",
                      absl::StrCat("is '", type, "'; supervised and dpo are served"));
    }
    RETURN_IF_ERROR(OnlyKnown(method, "method.", {"type", type}));
  }
  request.preference = type == "dpo";
  request.job.set_kind(request.preference ? scheduler::v1::Job::PREFERENCE
                                          : scheduler::v1::Job::SFT);
  RETURN_IF_ERROR(ReadHyperparameters(Given(body, "hyperparameters"), "hyperparameters.",
                                      request.preference, spec));
  const Json details = method.is_null() ? Json() : Given(method, type.c_str());
  if (details.is_null()) return absl::OkStatus();
  const std::string prefix = absl::StrCat("method.", type, ".");
  if (!details.is_object()) return BadField(absl::StrCat("method.", type), "must be an object");
  RETURN_IF_ERROR(OnlyKnown(details, prefix, {"hyperparameters"}));
  return ReadHyperparameters(Given(details, "hyperparameters"), prefix + "hyperparameters.",
                             request.preference, spec);
}

absl::Status ReadMetadata(const Json& body, scheduler::v1::Job& job) {
  const Json metadata = Given(body, "metadata");
  if (metadata.is_null()) return absl::OkStatus();
  if (!metadata.is_object()) return BadField("metadata", "must be an object");
  if (metadata.size() > 16) {
    return BadField("metadata", absl::StrCat("has ", metadata.size(), " pairs; at most 16"));
  }
  for (const auto& [key, value] : metadata.items()) {
    if (key.empty() || key.size() > 64 || key.rfind(kReservedLabels, 0) == 0) {
      return BadField("metadata", absl::StrCat("has the key '", key.substr(0, 100),
                                               "'; keys have 1 to 64 characters and do not begin "
                                               "with ",
                                               kReservedLabels));
    }
    if (!value.is_string() || value.get_ref<const std::string&>().size() > 512) {
      return BadField("metadata." + key, "must be a string of at most 512 characters");
    }
    (*job.mutable_labels())[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

absl::Status ReadSeedAndSuffix(const Json& body, scheduler::v1::TrainingSpec& spec) {
  const Json seed = Given(body, "seed");
  if (!seed.is_null()) {
    const bool fits = seed.is_number_integer() && seed.get<int64_t>() >= 0 &&
                      seed.get<int64_t>() <= std::numeric_limits<int32_t>::max();
    if (!fits) {
      return BadField("seed", absl::StrCat("is ", seed.dump(),
                                           "; must be a whole number from 0 to 2147483647"));
    }
    spec.set_seed(seed.get<int64_t>());
  }
  if (!body.contains("suffix") || body["suffix"].is_null()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string suffix, TextOf(body, "suffix", false));
  const auto characters = std::count_if(suffix.begin(), suffix.end(), [](unsigned char c) {
    return (c & 0xC0) != 0x80;  // the first byte of each in UTF-8
  });
  if (characters == 0 || characters > 64) {
    return BadField("suffix", absl::StrCat("has ", characters, " characters; must have 1 to 64"));
  }
  spec.set_suffix(suffix);
  return absl::OkStatus();
}

// (field of the scheduler, name here).
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kTerms = {{
    {"spec.training.learning_rate_multiplier", "hyperparameters.learning_rate_multiplier"},
    {"spec.training.preference_beta", "hyperparameters.beta"},
    {"spec.training.batch_size", "hyperparameters.batch_size"},
    {"spec.training.epochs", "hyperparameters.n_epochs"},
    {"spec.training.suffix", "suffix"},
    {"spec.training.seed", "seed"},
    {"dataset_version", "training_file"},
    {"base_model", "model"},
    {"labels", "metadata"},
}};

std::string Renamed(std::string text) {
  for (const auto& [theirs, ours] : kTerms) {
    text = absl::StrReplaceAll(text, {{ToAbsl(theirs), ToAbsl(ours)}});
  }
  return text;
}

}  // namespace

absl::StatusOr<TuningRequest> ParseTuningRequest(std::string_view body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 "the body must be a JSON object");
  }
  RETURN_IF_ERROR(OnlyKnown(json, "",
                            {"hyperparameters", "integrations", "metadata", "method", "model",
                             "seed", "suffix", "training_file", "validation_file"}));
  TuningRequest request;
  ASSIGN_OR_RETURN(request.model, TextOf(json, "model", true));
  ASSIGN_OR_RETURN(request.training_file, TextOf(json, "training_file", true));
  ASSIGN_OR_RETURN(request.validation_file, TextOf(json, "validation_file", false));
  if (request.validation_file == request.training_file) {
    return BadField("validation_file", "is the training file; the two may not overlap");
  }
  if (const Json integrations = Given(json, "integrations");
      !integrations.is_null() && !integrations.empty()) {
    return BadField("integrations", "must be empty: none is served");
  }
  RETURN_IF_ERROR(ReadSeedAndSuffix(json, *request.job.mutable_spec()->mutable_training()));
  RETURN_IF_ERROR(ReadMethod(json, request));
  RETURN_IF_ERROR(ReadMetadata(json, request.job));
  return request;
}

absl::Status InOpenAiTerms(const absl::Status& status) {
  if (status.ok()) return status;
  ErrorDetail detail = DetailOf(status);
  if (detail.reason.empty()) return status;
  for (FieldViolation& violation : detail.violations) violation.field = Renamed(violation.field);
  return Error(status.code(), Renamed(std::string(ToStd(status.message()))), std::move(detail));
}

}  // namespace crossover::router
