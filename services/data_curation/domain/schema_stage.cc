// Stage `schema`: does the answer have the shape that the task promises?
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "common/dataset/row.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/stage.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

class SchemaStage final : public Stage {
 public:
  std::string_view name() const override { return "schema"; }
  int code_version() const override { return 1; }

  Json defaults() const override {
    return {{"answer", "any"},                   // any | json | json_object
            {"required_fields", Json::array()},  // of a json_object
            {"labels", Json::array()},           // allowed answers; empty = all
            {"max_characters", 0},               // of all messages; 0 = no limit
            {"allow_empty_answer", false}};
  }

  absl::Status Check(const Json& parameters) const override {
    const std::string answer = parameters["answer"];
    if (answer != "any" && answer != "json" && answer != "json_object") {
      return RecipeError(name(), "`answer` must be any, json or json_object");
    }
    for (const char* key : {"labels", "required_fields"}) {
      for (const Json& item : parameters[key]) {
        if (!item.is_string())
          return RecipeError(name(), std::string("`") + key + "` must hold strings");
      }
    }
    if (parameters["max_characters"] < 0)
      return RecipeError(name(), "`max_characters` must not be negative");
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<RowChange>> Run(const StageInput& input) const override {
    const std::set<std::string> labels = input.parameters["labels"];
    std::vector<RowChange> changes;
    RETURN_IF_ERROR(ForEachKept(input, [&](int64_t i, const dataset::Row& row) {
      const std::string fault = FaultOf(row, input.parameters, labels);
      if (!fault.empty()) changes.push_back({.row = i, .drop = fault});
      return absl::OkStatus();
    }));
    return changes;
  }

 private:
  static int64_t Characters(const dataset::Row& row) {
    size_t count = 0;
    for (const dataset::Message& message : row.messages) count += dataset::TextOf(message).size();
    return static_cast<int64_t>(count);
  }

  static std::string JsonFault(const std::string& answer, const Json& parameters) {
    const std::string wanted = parameters["answer"];
    if (wanted == "any") return "";
    const Json value = Json::parse(answer, nullptr, false);
    if (value.is_discarded()) return "answer_not_json";
    if (wanted == "json") return "";
    if (!value.is_object()) return "answer_not_json_object";
    for (const std::string field : parameters["required_fields"]) {
      if (!value.contains(field)) return "answer_field_missing";
    }
    return "";
  }

  static std::string FaultOf(const dataset::Row& row, const Json& parameters,
                             const std::set<std::string>& labels) {
    const dataset::Message* answer = dataset::AnswerOf(row);
    if (answer == nullptr) return "no_answer";
    const std::string text = dataset::TextOf(*answer);
    if (text.empty() && answer->tool_calls.empty() && !parameters["allow_empty_answer"])
      return "answer_empty";
    if (!labels.empty() && !labels.contains(text)) return "answer_not_a_label";
    const int64_t limit = parameters["max_characters"];
    if (limit > 0 && Characters(row) > limit) return "too_long";
    return JsonFault(text, parameters);
  }
};

}  // namespace

std::unique_ptr<Stage> NewSchemaStage() { return std::make_unique<SchemaStage>(); }

}  // namespace crossover::curation
