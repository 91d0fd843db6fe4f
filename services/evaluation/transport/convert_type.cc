#include "services/evaluation/transport/convert_type.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/json/digest.h"
#include "common/prompt/from_proto.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

void FillFormat(const std::string& text, type::v1::Sampling* out) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return;
  auto* format = out->mutable_response_format();
  format->set_type(json.value("type", "") == "json_object" ? type::v1::ResponseFormat::JSON_OBJECT
                                                           : type::v1::ResponseFormat::JSON_SCHEMA);
  if (!json.contains("json_schema")) return;
  format->set_name(json["json_schema"].value("name", ""));
  format->set_json_schema(json["json_schema"].value("schema", nlohmann::json::object()).dump());
  format->set_strict(json["json_schema"].value("strict", false));
}

absl::Status CheckSampling(const type::v1::Sampling& sampling, const std::string& field) {
  if (sampling.has_temperature() && !(sampling.temperature() >= 0 && sampling.temperature() <= 2)) {
    return Invalid(field + ".temperature", "expected 0 to 2");
  }
  if (sampling.has_top_p() && !(sampling.top_p() > 0 && sampling.top_p() <= 1))
    return Invalid(field + ".top_p", "expected (0, 1]");
  if (sampling.has_max_tokens() && sampling.max_tokens() < 1)
    return Invalid(field + ".max_tokens", "expected at least 1");
  if (sampling.has_n() && sampling.n() != 1)
    return Invalid(field + ".n", "an evaluation asks for one answer at a time; use repeats");
  // A route would serve what was not measured.
  for (const auto& [set, name] :
       {std::pair(sampling.logit_bias_size() > 0, ".logit_bias"),
        std::pair(sampling.has_logprobs(), ".logprobs"),
        std::pair(sampling.has_repetition_penalty(), ".repetition_penalty")}) {
    if (set) return Invalid(field + name, "an evaluation does not apply it; leave it out");
  }
  return absl::OkStatus();
}

void Fill(const prompt::Sampling& in, type::v1::Sampling* out) {
  if (in.temperature) out->set_temperature(*in.temperature);
  if (in.top_p) out->set_top_p(*in.top_p);
  if (in.top_k) out->set_top_k(static_cast<int32_t>(*in.top_k));
  if (in.max_tokens) out->set_max_tokens(*in.max_tokens);
  if (in.seed) out->set_seed(*in.seed);
  for (const std::string& stop : in.stop) out->add_stop(stop);
}

}  // namespace

absl::Status Invalid(const std::string& field, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", std::string(what)),
               {.reason = "FIELD_INVALID", .violations = {{field, std::string(what)}}});
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  int64_t micros = absl::ToUnixMicros(time);
  int64_t seconds = micros >= 0 ? micros / 1'000'000 : -((-micros + 999'999) / 1'000'000);
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>((micros - seconds * 1'000'000) * 1000));
  return out;
}

google::protobuf::Duration SecondsToProto(double seconds) {
  google::protobuf::Duration out;
  out.set_seconds(static_cast<int64_t>(seconds));
  out.set_nanos(static_cast<int32_t>((seconds - std::trunc(seconds)) * 1e9));
  return out;
}

google::type::Money MoneyToProto(double usd) {
  google::type::Money money;
  money.set_currency_code("USD");
  double units = std::trunc(usd);
  int64_t nanos = std::llround((usd - units) * 1e9);
  if (std::llabs(nanos) == 1'000'000'000) {
    units += nanos > 0 ? 1 : -1;
    nanos = 0;
  }
  money.set_units(static_cast<int64_t>(units));
  money.set_nanos(static_cast<int32_t>(nanos));
  return money;
}

absl::StatusOr<double> ToUsd(const google::type::Money& money, const std::string& field) {
  if (!money.currency_code().empty() && money.currency_code() != "USD") {
    return Invalid(field, absl::StrCat("amounts are in USD, not ", money.currency_code()));
  }
  return static_cast<double>(money.units()) + money.nanos() * 1e-9;
}

type::v1::Interval ToProto(const stats::Interval& interval) {
  type::v1::Interval out;
  out.set_point(interval.point);
  out.set_lower(interval.lower);
  out.set_upper(interval.upper);
  out.set_level(interval.level);
  out.set_method(interval.method);
  out.set_n(interval.n);
  out.set_clusters(interval.clusters);
  out.set_anytime_valid(interval.anytime_valid);
  return out;
}

type::v1::Usage ToProto(const Usage& usage) {
  type::v1::Usage out;
  out.set_input(usage.input);
  out.set_cached_input(usage.cached_input);
  out.set_output(usage.output);
  return out;
}

type::v1::System ToProto(const System& system) {
  type::v1::System out;
  out.set_prompt_version(system.prompt_version);
  if (system.kind == ModelKind::kUpstream) {
    out.mutable_upstream()->set_upstream(system.upstream);
    out.mutable_upstream()->set_model(system.model);
    out.mutable_upstream()->set_revision(system.revision);
  } else if (system.kind != ModelKind::kNone) {
    type::v1::LocalModel* model =
        system.kind == ModelKind::kAdapter ? out.mutable_adapter() : out.mutable_base_model();
    model->set_model(system.model);
    model->set_digest(system.model_digest);
    model->set_base_digest(system.base_digest);
  }
  Fill(system.sampling, out.mutable_sampling());
  FillFormat(system.response_format, out.mutable_sampling());
  if (system.timeout_seconds > 0)
    *out.mutable_limits()->mutable_timeout() = SecondsToProto(system.timeout_seconds);
  if (system.max_input_tokens > 0)
    out.mutable_limits()->set_max_input_tokens(system.max_input_tokens);
  if (system.max_cost > 0)
    *out.mutable_limits()->mutable_max_cost() = MoneyToProto(system.max_cost);
  if (system.max_concurrency > 0) out.mutable_limits()->set_max_concurrency(system.max_concurrency);
  out.set_digest(system.digest);
  out.set_display_name(system.display_name);
  return out;
}

absl::StatusOr<System> FromProto(const type::v1::System& in, const std::string& field) {
  System out{.prompt_version = in.prompt_version(), .display_name = in.display_name()};
  switch (in.model_case()) {
    case type::v1::System::kBaseModel:
      out.kind = ModelKind::kBase;
      out.model = in.base_model().model();
      break;
    case type::v1::System::kAdapter:
      out.kind = ModelKind::kAdapter;
      out.model = in.adapter().model();
      break;
    case type::v1::System::kUpstream:
      out.kind = ModelKind::kUpstream;
      out.upstream = in.upstream().upstream();
      out.model = in.upstream().model();
      if (out.upstream.empty()) return Invalid(field + ".upstream.upstream", "is required");
      break;
    case type::v1::System::MODEL_NOT_SET:
      return Invalid(field + ".model", "base_model, adapter or upstream is needed");
  }
  if (out.model.empty()) return Invalid(field + ".model", "the model's name or digest is required");
  RETURN_IF_ERROR(CheckSampling(in.sampling(), field + ".sampling"));
  out.sampling = prompt::FromProto(in.sampling());
  out.response_format = prompt::ResponseFormatJson(in.sampling().response_format());
  out.timeout_seconds =
      static_cast<double>(in.limits().timeout().seconds()) + in.limits().timeout().nanos() * 1e-9;
  out.max_input_tokens = in.limits().max_input_tokens();
  ASSIGN_OR_RETURN(out.max_cost, ToUsd(in.limits().max_cost(), field + ".limits.max_cost"));
  out.max_concurrency = in.limits().max_concurrency();
  return out;
}

type::v1::Evidence ToProto(const Evidence& evidence) {
  type::v1::Evidence out;
  out.set_condition(evidence.condition);
  out.set_kind(evidence.kind == EvidenceKind::kNecessary ? type::v1::Evidence::NECESSARY
                                                         : type::v1::Evidence::SUFFICIENT);
  out.set_status(static_cast<type::v1::Evidence::Status>(static_cast<int>(evidence.status) +
                                                         1));  // same order after UNSPECIFIED
  out.set_source(static_cast<type::v1::Evidence::Source>(static_cast<int>(evidence.source) + 1));
  out.set_value(evidence.value);
  if (evidence.interval) *out.mutable_interval() = ToProto(*evidence.interval);
  out.set_threshold(evidence.threshold);
  for (const std::string& input : evidence.inputs) out.add_inputs(input);
  if (evidence.waiver) {
    out.mutable_waiver()->set_by(evidence.waiver->by);
    out.mutable_waiver()->set_reason(evidence.waiver->reason);
    *out.mutable_waiver()->mutable_time() = ToProto(evidence.waiver->time);
  }
  out.set_explanation(evidence.explanation);
  out.set_next_step(evidence.next_step);
  return out;
}

absl::StatusOr<RequestKey> KeyOf(const google::protobuf::Message& request,
                                 const std::string& request_id) {
  RETURN_IF_ERROR(CheckRequestId(request_id));
  if (request_id.empty()) return RequestKey{};
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  return RequestKey{request_id, DigestOf(bytes)};
}

}  // namespace crossover::evaluation
