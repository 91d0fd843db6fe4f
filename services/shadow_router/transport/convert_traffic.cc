#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/convert_util.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

pb::Pair::LegKind KindOf(LegRole role) {
  switch (role) {
    case LegRole::kPrimary:
      return pb::Pair::PRIMARY;
    case LegRole::kCandidate:
      return pb::Pair::CANDIDATE;
    case LegRole::kSecondary:
      return pb::Pair::SECONDARY;
  }
  return pb::Pair::LEG_KIND_UNSPECIFIED;
}

void SetUsage(const Usage& usage, type::v1::Usage* out) {
  out->set_input(usage.input);
  out->set_cached_input(usage.cached_input);
  out->set_output(usage.output);
}

void AddLeg(const Leg& leg, pb::Pair& pair) {
  pb::Pair::Leg* out = pair.add_legs();
  out->set_kind(KindOf(leg.role));
  out->set_status(leg.http_status);
  out->set_output_digest(leg.output_digest);
  out->set_output(leg.output);
  SetUsage(leg.usage, out->mutable_usage());
  SetUsd(leg.cost_usd, out->mutable_cost());
  SetDuration(leg.ttft, out->mutable_ttft());
  SetDuration(leg.latency, out->mutable_latency());
  out->set_finish_reason(leg.finish_reason);
  out->set_system_fingerprint(leg.system_fingerprint);
  out->set_error(leg.error);
}

void AddGrade(const Grade& grade, bool self_compare, pb::Pair& pair) {
  pb::Pair::Grade* out = pair.add_grades();
  pb::Experiment::GradeSource source = pb::Experiment::GRADE_SOURCE_UNSPECIFIED;
  pb::Experiment::GradeSource_Parse(std::string(ToString(grade.source)), &source);
  out->set_source(source);
  out->set_grader_version(grade.grader_version);
  out->set_primary_loss(grade.primary_loss);
  // In calibration the other answer is the primary's second, not a candidate's.
  if (self_compare) {
    out->set_secondary_loss(grade.candidate_loss);
  } else {
    out->set_candidate_loss(grade.candidate_loss);
  }
  SetTime(grade.time, out->mutable_time());
}

absl::Status BadFeedback(const std::string& field, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FEEDBACK_INVALID", .metadata = {}, .violations = {{field, message}}});
}

}  // namespace

pb::Pair ToProto(const Pair& pair) {
  pb::Pair proto;
  proto.set_name(absl::StrCat(pair.experiment, "/pairs/", pair.id));
  proto.set_route(pair.route);
  proto.set_experiment(pair.experiment);
  proto.set_comparison(pair.comparison);
  proto.set_cluster(pair.cluster);
  SetTime(pair.time, proto.mutable_time());
  pb::Pair::Provenance* provenance = proto.mutable_provenance();
  provenance->set_config_version(pair.provenance.config_version);
  provenance->add_prompt_digests(pair.provenance.primary_prompt);
  provenance->add_prompt_digests(pair.provenance.candidate_prompt);
  provenance->add_model_revisions(pair.provenance.primary_system);
  provenance->add_model_revisions(pair.provenance.candidate_system);
  SetSampling(pair.provenance.primary_sampling, provenance->add_sampling());
  SetSampling(pair.provenance.candidate_sampling, provenance->add_sampling());
  for (const Leg& leg : pair.legs) AddLeg(leg, proto);
  for (const ComparisonResult& result : pair.comparisons) {
    pb::Pair::Comparison* out = proto.add_comparisons();
    out->set_comparator(result.comparator);
    out->set_equal(result.equal);
    out->set_score(result.score);
    out->set_against(pair.self_compare ? pb::Pair::SECONDARY : pb::Pair::CANDIDATE);
    for (const FieldResult& field : result.fields) {
      if (!field.equal) out->add_fields(field.path);
    }
  }
  for (const Grade& grade : pair.grades) AddGrade(grade, pair.self_compare, proto);
  pb::Pair::Validity validity = pb::Pair::VALIDITY_UNSPECIFIED;
  pb::Pair::Validity_Parse(std::string(ToString(pair.validity)),
                           &validity);  // The same names on both sides.
  proto.set_validity(validity);
  proto.set_trace_id(pair.trace_id);
  proto.set_input_digest(pair.input_digest);
  return proto;
}

pb::LedgerEntry ToProto(const LedgerCounts& counts) {
  pb::LedgerEntry proto;
  proto.set_eligible(counts.eligible);
  proto.set_sampled(counts.sampled);
  proto.set_paired(counts.paired);
  proto.mutable_failed()->insert(counts.failed.begin(), counts.failed.end());
  proto.mutable_dropped()->insert(counts.dropped.begin(), counts.dropped.end());
  proto.set_in_flight(counts.in_flight);
  proto.set_bytes(counts.bytes);
  return proto;
}

pb::LedgerEntry ToProto(const LedgerRow& row) {
  pb::LedgerEntry proto = ToProto(row.counts);
  proto.set_instance(row.instance);
  proto.set_incarnation(row.incarnation);
  proto.set_experiment(row.key.experiment);
  proto.set_comparison(row.key.comparison);
  SetTime(row.key.minute, proto.mutable_minute());
  return proto;
}

pb::Recording ToProto(const Recording& recording, const std::string& project) {
  pb::Recording proto;
  proto.set_name(absl::StrCat(project, "/recordings/", recording.id));
  SetTime(recording.time, proto.mutable_create_time());
  proto.set_route(recording.route);
  proto.set_variant(recording.variant);
  const Json messages = Json::parse(recording.request, nullptr, /*allow_exceptions=*/false);
  if (messages.is_array()) {
    for (const Json& message : messages) {
      type::v1::ChatMessage* out = proto.add_messages();
      out->set_role(message.value("role", ""));
      const Json content = message.value("content", Json());
      out->set_content(content.is_string() ? content.get<std::string>() : content.dump());
    }
  }
  proto.mutable_answer()->set_role("assistant");
  proto.mutable_answer()->set_content(recording.response);
  proto.set_finish_reason(recording.finish_reason);
  const Json calls = Json::parse(recording.tool_calls, nullptr, /*allow_exceptions=*/false);
  if (calls.is_array()) {
    for (const Json& call : calls) {
      type::v1::ToolCall* out = proto.mutable_answer()->add_tool_calls();
      out->set_type("function");
      out->set_name(call.value("name", ""));
      const Json arguments = call.value("arguments", Json());
      out->set_arguments(arguments.is_string() ? arguments.get<std::string>() : arguments.dump());
    }
  }
  if (recording.redactions > 0) (*proto.mutable_redactions())["all"] = recording.redactions;
  proto.set_consent("store_true");
  proto.mutable_metadata()->insert(recording.metadata.begin(), recording.metadata.end());
  SetUsage(recording.usage, proto.mutable_usage());
  return proto;
}

absl::StatusOr<Feedback> FromProto(const pb::Feedback& proto) {
  if (proto.inference_id().empty())
    return BadFeedback("inference_id", "inference_id must name the answer");
  if (proto.name().empty()) return BadFeedback("name", "name must say what is meant");
  Feedback feedback{
      .inference_id = proto.inference_id(), .name = proto.name(), .author = proto.author()};
  Json value;
  switch (proto.value_case()) {
    case pb::Feedback::kBoolValue:
      value = proto.bool_value();
      break;
    case pb::Feedback::kFloatValue:
      value = proto.float_value();
      break;
    case pb::Feedback::kComment:
      value = proto.comment();
      break;
    case pb::Feedback::kDemonstration:
      value = proto.demonstration();
      feedback.name = "demonstration";  // Whatever its name: it is the right answer.
      break;
    default:
      return BadFeedback("value",
                         "one of bool_value, float_value, comment, demonstration must be set");
  }
  feedback.value = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return feedback;
}

pb::Feedback ToProto(const Feedback& feedback) {
  pb::Feedback proto;
  proto.set_inference_id(feedback.inference_id);
  proto.set_name(feedback.name);
  proto.set_author(feedback.author);
  proto.set_id(feedback.id);
  SetTime(feedback.time, proto.mutable_time());
  const Json value = Json::parse(feedback.value, nullptr, /*allow_exceptions=*/false);
  const bool right_output = feedback.name == "label" || feedback.name == "demonstration";
  if (value.is_boolean()) {
    proto.set_bool_value(value);
  } else if (value.is_number()) {
    proto.set_float_value(value);
  } else if (value.is_string()) {
    right_output ? proto.set_demonstration(value.get<std::string>())
                 : proto.set_comment(value.get<std::string>());
  }
  return proto;
}

}  // namespace crossover::router
