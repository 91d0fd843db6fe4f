#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/dataset/row_json.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"

namespace crossover::evaluation {
namespace {

absl::StatusOr<GraderKind> KindFromProto(pb::Grader::Kind kind, const std::string& field) {
  switch (kind) {
    case pb::Grader::EXACT:
      return GraderKind::kExact;
    case pb::Grader::NORMALISED:
      return GraderKind::kNormalised;
    case pb::Grader::REGEX:
      return GraderKind::kRegex;
    case pb::Grader::CHOICE:
      return GraderKind::kChoice;
    case pb::Grader::JSON_VALID:
      return GraderKind::kJsonValid;
    case pb::Grader::JSON_SCHEMA:
      return GraderKind::kJsonSchema;
    case pb::Grader::JSON_FIELDS:
      return GraderKind::kJsonFields;
    case pb::Grader::NUMERIC:
      return GraderKind::kNumeric;
    case pb::Grader::KIND_UNSPECIFIED:
      return Invalid(field + ".kind", "is required");
    default:
      return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                   absl::StrCat(field, ".kind: ", pb::Grader::Kind_Name(kind),
                                " is not served by this version"));
  }
}

pb::Grader::Kind KindToProto(GraderKind kind) {
  constexpr pb::Grader::Kind kKinds[] = {pb::Grader::EXACT,       pb::Grader::NORMALISED,
                                         pb::Grader::REGEX,       pb::Grader::CHOICE,
                                         pb::Grader::JSON_VALID,  pb::Grader::JSON_SCHEMA,
                                         pb::Grader::JSON_FIELDS, pb::Grader::NUMERIC};
  return kKinds[static_cast<int>(kind)];
}

// A list of texts, or one text.
std::vector<std::string> Texts(const nlohmann::json& value) {
  std::vector<std::string> texts;
  if (value.is_string()) texts.push_back(value.get<std::string>());
  if (!value.is_array()) return texts;
  for (const auto& element : value) {
    if (element.is_string()) texts.push_back(element.get<std::string>());
  }
  return texts;
}

absl::Status TakeParameter(const std::string& key, const nlohmann::json& value, GraderSpec& spec) {
  auto number = [&](double& out) {
    if (value.is_number()) out = value.get<double>();
    return value.is_number();
  };
  auto flag = [&](bool& out) {
    if (value.is_boolean()) out = value.get<bool>();
    return value.is_boolean();
  };
  bool understood = true;
  if (key == "fields") {
    spec.fields = Texts(value);
  } else if (key == "choices") {
    spec.choices = Texts(value);
  } else if (key == "pattern") {
    understood = value.is_string();
    if (understood) spec.pattern = value.get<std::string>();
  } else if (key == "schema") {
    spec.schema = value.is_string() ? value.get<std::string>() : value.dump();
  } else if (key == "tolerance" || key == "absolute_tolerance") {
    understood = number(spec.absolute_tolerance);
  } else if (key == "relative_tolerance") {
    understood = number(spec.relative_tolerance);
  } else if (key == "all") {
    understood = flag(spec.all);
  } else if (key == "raw_only") {
    understood = flag(spec.raw_only);
  } else {
    return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
                 absl::StrCat("grader ", spec.name, ": unknown parameter '", key,
                              "'; known are: absolute_tolerance, all, choices, fields, pattern, "
                              "raw_only, relative_tolerance, schema, tolerance"));
  }
  if (understood) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
               absl::StrCat("grader ", spec.name, ": parameter '", key, "' has the wrong type"));
}

absl::StatusOr<GraderSpec> GraderFromProto(const pb::Grader& in, const std::string& field) {
  GraderSpec spec{.name = in.name()};
  ASSIGN_OR_RETURN(spec.kind, KindFromProto(in.kind(), field));
  if (spec.name.empty()) spec.name = Name(spec.kind);
  if (in.has_pass_score()) spec.pass_score = in.pass_score();
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(in.parameters(), &text).ok())
    return Invalid(field + ".parameters", "cannot be read");
  nlohmann::json parameters = nlohmann::json::parse(text, nullptr, false);
  if (!parameters.is_object()) return spec;
  for (const auto& [key, value] : parameters.items()) {
    RETURN_IF_ERROR(TakeParameter(key, value, spec));
  }
  return spec;
}

pb::Grader GraderToProto(const GraderSpec& spec) {
  pb::Grader out;
  out.set_kind(KindToProto(spec.kind));
  out.set_name(spec.name);
  out.set_pass_score(spec.pass_score);
  nlohmann::json parameters = nlohmann::json::object();
  if (!spec.fields.empty()) parameters["fields"] = spec.fields;
  if (!spec.choices.empty()) parameters["choices"] = spec.choices;
  if (!spec.pattern.empty()) parameters["pattern"] = spec.pattern;
  if (!spec.schema.empty())
    parameters["schema"] = nlohmann::json::parse(spec.schema, nullptr, false);
  if (spec.absolute_tolerance > 0) parameters["tolerance"] = spec.absolute_tolerance;
  if (spec.relative_tolerance > 0) parameters["relative_tolerance"] = spec.relative_tolerance;
  if (spec.all) parameters["all"] = true;
  if (spec.raw_only) parameters["raw_only"] = true;
  if (!parameters.empty() &&
      !google::protobuf::util::JsonStringToMessage(parameters.dump(), out.mutable_parameters())
           .ok()) {
    out.clear_parameters();
  }
  return out;
}

dataset::Message MessageFromProto(const type::v1::ChatMessage& in) {
  dataset::Message out{.role = in.role(), .tool_call_id = in.tool_call_id(), .name = in.name()};
  if (in.has_content()) out.content = in.content();
  for (const type::v1::ToolCall& call : in.tool_calls())
    out.tool_calls.push_back({call.id(), call.name(), call.arguments()});
  return out;
}

}  // namespace

pb::SuiteVersion ToProto(const Suite& suite, int64_t times_used) {
  pb::SuiteVersion out;
  out.set_name(suite.name);
  *out.mutable_create_time() = ToProto(suite.create_time);
  FillMap(suite.labels, out.mutable_labels());
  out.set_digest(suite.digest);
  out.set_task(suite.task);
  if (!suite.dataset.dataset_version.empty()) {
    out.mutable_dataset()->set_dataset_version(suite.dataset.dataset_version);
    out.mutable_dataset()->set_split(suite.dataset.split);
    out.mutable_dataset()->set_max_rows(suite.dataset.max_rows);
    out.mutable_dataset()->set_seed(suite.dataset.seed);
  }
  for (const GraderSpec& grader : suite.graders) *out.add_graders() = GraderToProto(grader);
  for (const Slice& slice : suite.slices) {
    pb::Slice* added = out.add_slices();
    added->set_name(slice.name);
    added->set_filter(slice.filter);
    added->set_by_field(slice.by_field);
  }
  out.set_cluster_by(suite.cluster_by);
  out.set_role(static_cast<pb::SuiteVersion::Role>(static_cast<int>(suite.role) +
                                                   1));  // same order after UNSPECIFIED
  out.mutable_power()->set_detectable_difference(suite.power.detectable_difference);
  out.mutable_power()->set_discordance(suite.power.discordance);
  for (const auto& [delta, rows] : suite.power.rows_needed)
    (*out.mutable_power()->mutable_rows_needed())[delta] = rows;
  out.set_times_used(times_used);
  out.set_row_count(suite.row_count);
  out.set_cluster_count(suite.cluster_count);
  return out;
}

absl::StatusOr<Suite> FromProto(const pb::SuiteVersion& in) {
  Suite suite{.task = in.task(), .cluster_by = in.cluster_by()};
  if (in.task().empty()) return Invalid("suite_version.task", "is required");
  if (in.role() == pb::SuiteVersion::ROLE_UNSPECIFIED)
    return Invalid("suite_version.role", "DEV, TEST, GENERAL or OOD is needed");
  suite.role = static_cast<SuiteRole>(static_cast<int>(in.role()) - 1);
  if (in.has_dataset()) {
    suite.dataset = {in.dataset().dataset_version(), in.dataset().split(), in.dataset().max_rows(),
                     in.dataset().seed()};
    if (suite.dataset.dataset_version.empty())
      return Invalid("suite_version.dataset.dataset_version", "is required");
    if (suite.dataset.split.empty())
      return Invalid("suite_version.dataset.split", "train, validation or test is needed");
    if (suite.dataset.max_rows < 0) return Invalid("suite_version.dataset.max_rows", "is negative");
  } else if (!in.has_inline_()) {
    return Invalid("suite_version.rows", "dataset or inline is needed");
  }
  for (int i = 0; i < in.graders_size(); ++i) {
    ASSIGN_OR_RETURN(
        GraderSpec grader,
        GraderFromProto(in.graders(i), absl::StrCat("suite_version.graders[", i, "]")));
    suite.graders.push_back(std::move(grader));
  }
  for (const pb::Slice& slice : in.slices())
    suite.slices.push_back({slice.name(), slice.filter(), slice.by_field()});
  suite.labels = FromMap(in.labels());
  return suite;
}

absl::StatusOr<std::vector<SuiteRow>> RowsFromProto(const pb::InlineRows& rows) {
  std::vector<SuiteRow> out;
  for (const pb::SuiteRow& row : rows.rows()) {
    std::vector<dataset::Message> messages;
    for (const type::v1::ChatMessage& message : row.messages())
      messages.push_back(MessageFromProto(message));
    if (messages.empty())
      return Invalid(absl::StrCat("suite_version.inline.rows[", out.size(), "].messages"),
                     "is empty");
    out.push_back({.messages = dataset::MessagesToJson(messages),
                   .expected = row.expected(),
                   .observed = row.observed(),
                   .cluster = row.cluster(),
                   .attributes = FromMap(row.attributes())});
  }
  return out;
}

pb::SuiteRow ToProto(const SuiteRow& row, const std::vector<Judgement>& judgements, bool hide) {
  pb::SuiteRow out;
  out.set_row_digest(row.row_digest);
  out.set_cluster(row.cluster);
  for (const Judgement& judgement : judgements) {
    if (judgement.row_digest == row.row_digest) *out.add_judgements() = ToProto(judgement);
  }
  if (hide) return out;
  FillMap(row.attributes, out.mutable_attributes());
  out.set_expected(row.expected);
  out.set_observed(row.observed);
  auto messages = dataset::ParseMessages(row.messages, "messages");
  if (!messages.ok()) return out;
  for (const dataset::Message& message : *messages) {
    type::v1::ChatMessage* added = out.add_messages();
    added->set_role(message.role);
    if (message.content) added->set_content(*message.content);
    added->set_name(message.name);
    added->set_tool_call_id(message.tool_call_id);
    for (const dataset::ToolCall& call : message.tool_calls) {
      type::v1::ToolCall* added_call = added->add_tool_calls();
      added_call->set_id(call.id);
      added_call->set_type("function");
      added_call->set_name(call.name);
      added_call->set_arguments(call.arguments);
    }
  }
  return out;
}

pb::Judgement ToProto(const Judgement& judgement) {
  pb::Judgement out;
  out.set_annotator(judgement.annotator);
  pb::Judgement::Verdict verdict = pb::Judgement::VERDICT_UNSPECIFIED;
  pb::Judgement::Verdict_Parse(judgement.verdict, &verdict);
  out.set_verdict(verdict);
  out.set_comment(judgement.comment);
  *out.mutable_time() = ToProto(judgement.time);
  out.set_row_digest(judgement.row_digest);
  return out;
}

absl::StatusOr<Judgement> FromProto(const pb::Judgement& in) {
  if (in.annotator().empty()) return Invalid("judgement.annotator", "is required");
  if (in.verdict() == pb::Judgement::VERDICT_UNSPECIFIED)
    return Invalid("judgement.verdict", "CORRECT, PARTIAL or WRONG is needed");
  return Judgement{.row_digest = in.row_digest(),
                   .annotator = in.annotator(),
                   .verdict = pb::Judgement::Verdict_Name(in.verdict()),
                   .comment = in.comment()};
}

}  // namespace crossover::evaluation
