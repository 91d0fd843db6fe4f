#include "services/shadow_router/tuning/openai_json.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/id/uuid7.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using scheduler_pb::Job;

constexpr char kFilePrefix[] = "file-";
constexpr char kResultPrefix[] = "file-res";
constexpr char kJobPrefix[] = "ftjob-";

std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('/') + 1); }

std::string ProjectSlug(std::string_view name) {
  constexpr std::string_view kPrefix = "projects/";
  if (name.substr(0, kPrefix.size()) != kPrefix) return "";
  name.remove_prefix(kPrefix.size());
  return std::string(name.substr(0, name.find('/')));
}

absl::Status NoSuch(std::string_view what, std::string_view id, std::string_view param) {
  return Error(absl::StatusCode::kNotFound,
               absl::StrCat("No such ", ToAbsl(what), ": ", ToAbsl(id.substr(0, 100))),
               {.reason = "RESOURCE_NOT_FOUND",
                .metadata = {},
                .violations = {{std::string(param), "does not exist"}}});
}

// The name below `collection` of an id with this prefix.
absl::StatusOr<std::string> NameOf(const std::string& project, std::string_view collection,
                                   std::string_view prefix, std::string_view id,
                                   std::string_view what, std::string_view param) {
  if (id.substr(0, prefix.size()) != prefix || !ParseId(id.substr(prefix.size())).ok()) {
    return NoSuch(what, id, param);
  }
  return absl::StrCat(project, "/", ToAbsl(collection), "/", ToAbsl(id.substr(prefix.size())));
}

Json SecondsOrNull(bool present, const google::protobuf::Timestamp& time) {
  return present ? Json(time.seconds()) : Json();
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

std::string LabelOf(const Job& job, const char* label) {
  const auto found = job.labels().find(label);
  return found == job.labels().end() ? "" : found->second;
}

const char* StatusOf(Job::State state) {
  switch (state) {
    case Job::VALIDATING:
      return "validating_files";
    case Job::RUNNING:
    case Job::PAUSING:
    case Job::CANCELLING:
      return "running";
    case Job::PAUSED:
      return "paused";
    case Job::SUCCEEDED:
      return "succeeded";
    case Job::FAILED:
      return "failed";
    case Job::CANCELLED:
      return "cancelled";
    default:
      return "queued";
  }
}

// Whole numbers as such: 3 and not 3.0.
Json NumberJson(double value) {
  const auto whole = static_cast<int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

Json HyperparametersJson(const Job& job) {
  const scheduler_pb::TrainingSpec& asked = job.spec().training();
  const scheduler_pb::TrainingSpec& resolved =
      job.has_resolved_spec() ? job.resolved_spec().training() : asked;
  Json out;
  out["n_epochs"] = resolved.has_epochs() ? NumberJson(resolved.epochs()) : Json("auto");
  out["batch_size"] = resolved.has_batch_size() ? Json(resolved.batch_size()) : Json("auto");
  out["learning_rate_multiplier"] = asked.has_learning_rate_multiplier()
                                        ? NumberJson(asked.learning_rate_multiplier())
                                        : Json("auto");
  return out;
}

Json MethodJson(const Job& job) {
  Json hyperparameters = HyperparametersJson(job);
  if (job.kind() != Job::PREFERENCE) {
    return {{"type", "supervised"}, {"supervised", {{"hyperparameters", hyperparameters}}}};
  }
  const scheduler_pb::TrainingSpec& resolved =
      job.has_resolved_spec() ? job.resolved_spec().training() : job.spec().training();
  hyperparameters["beta"] =
      resolved.has_preference_beta() ? NumberJson(resolved.preference_beta()) : Json("auto");
  return {{"type", "dpo"}, {"dpo", {{"hyperparameters", hyperparameters}}}};
}

Json ErrorJson(const Job& job) {
  if (job.state() != Job::FAILED) return {};
  return {{"code", TextOrNull(job.error().reason())},
          {"message", job.error().message()},
          {"param", TextOrNull(job.error().field())}};
}

Json MetadataJson(const Job& job) {
  Json metadata = Json::object();
  for (const auto& [key, value] : job.labels()) {
    if (!absl::StartsWith(key, kReservedLabels)) metadata[key] = value;
  }
  return metadata;
}

Json MetricsJson(const scheduler_pb::MetricPoint& point) {
  Json out = {{"step", point.step()}};
  const auto add = [&](const char* name, bool has, double value) {
    if (has) out[name] = value;
  };
  add("train_loss", point.has_train_loss(), point.train_loss());
  add("train_mean_token_accuracy", point.has_train_mean_token_accuracy(),
      point.train_mean_token_accuracy());
  add("valid_loss", point.has_valid_loss(), point.valid_loss());
  add("valid_mean_token_accuracy", point.has_valid_mean_token_accuracy(),
      point.valid_mean_token_accuracy());
  add("full_valid_loss", point.has_full_valid_loss(), point.full_valid_loss());
  add("full_valid_mean_token_accuracy", point.has_full_valid_mean_token_accuracy(),
      point.full_valid_mean_token_accuracy());
  return out;
}

std::string FixedText(bool has, double value) { return has ? Json(value).dump() : ""; }

const char* LevelOf(scheduler_pb::JobEvent::Level level) {
  if (level == scheduler_pb::JobEvent::ERROR) return "error";
  return level == scheduler_pb::JobEvent::WARN ? "warn" : "info";
}

Json EventBase(std::string id, const google::protobuf::Timestamp& time, const char* level,
               std::string message, const char* type) {
  return {{"object", "fine_tuning.job.event"},
          {"id", std::move(id)},
          {"created_at", time.seconds()},
          {"level", level},
          {"message", std::move(message)},
          {"type", type},
          {"data", Json()}};
}

}  // namespace

std::string FileIdOf(std::string_view name) {
  return absl::StrCat(kFilePrefix, ToAbsl(LastPart(name)));
}

absl::StatusOr<std::string> FileNameOf(const std::string& project, std::string_view id,
                                       std::string_view param) {
  return NameOf(project, "files", kFilePrefix, id, "File object", param);
}

std::string JobIdOf(std::string_view name) {
  return absl::StrCat(kJobPrefix, ToAbsl(LastPart(name)));
}

absl::StatusOr<std::string> JobNameOf(const std::string& project, std::string_view id,
                                      std::string_view param) {
  return NameOf(project, "jobs", kJobPrefix, id, "fine-tuning job", param);
}

std::string ResultFileIdOf(std::string_view job_name) {
  return absl::StrCat(kResultPrefix, ToAbsl(LastPart(job_name)));
}

std::optional<std::string> JobOfResultFile(const std::string& project, std::string_view id) {
  absl::StatusOr<std::string> name = NameOf(project, "jobs", kResultPrefix, id, "", "");
  return name.ok() ? std::optional(*std::move(name)) : std::nullopt;
}

Json FileJson(const curation_pb::File& file, const std::string& wrong_line) {
  const bool rejected = file.state() == curation_pb::File::REJECTED;
  const bool ready = file.state() == curation_pb::File::READY;
  return {{"id", FileIdOf(file.name())},
          {"object", "file"},
          {"bytes", file.size_bytes()},
          {"created_at", file.create_time().seconds()},
          {"expires_at", SecondsOrNull(file.has_expire_time(), file.expire_time())},
          {"filename", file.filename()},
          {"purpose", file.purpose().empty() ? "fine-tune" : file.purpose()},
          {"status", rejected || !wrong_line.empty() ? "error"
                     : ready                         ? "processed"
                                                     : "uploaded"},
          {"status_details", TextOrNull(rejected ? file.state_reason() : wrong_line)}};
}

Json ResultFileJson(const Job& job, size_t bytes) {
  return {{"id", ResultFileIdOf(job.name())},
          {"object", "file"},
          {"bytes", bytes},
          {"created_at", SecondsOrNull(job.has_finish_time(), job.finish_time())},
          {"expires_at", Json()},
          {"filename", "step_metrics.csv"},
          {"purpose", "fine-tune-results"},
          {"status", "processed"},
          {"status_details", Json()}};
}

Json JobJson(const Job& job, absl::Time now) {
  const bool ended = job.has_finish_time();
  const bool succeeded = job.state() == Job::SUCCEEDED;
  Json estimated;
  if (job.state() == Job::RUNNING && job.progress().has_eta()) {
    estimated = absl::ToUnixSeconds(now) + job.progress().eta().seconds();
  }
  return {{"id", JobIdOf(job.name())},
          {"object", "fine_tuning.job"},
          {"created_at", job.create_time().seconds()},
          {"finished_at", SecondsOrNull(ended, job.finish_time())},
          {"estimated_finish", estimated},
          {"status", StatusOf(job.state())},
          {"model", job.base_model()},
          {"fine_tuned_model", succeeded ? TextOrNull(job.outputs().model_alias()) : Json()},
          {"organization_id", ProjectSlug(job.name())},
          {"training_file", LabelOf(job, kTrainingFileLabel)},
          {"validation_file", TextOrNull(LabelOf(job, kValidationFileLabel))},
          {"result_files", succeeded ? Json::array({ResultFileIdOf(job.name())}) : Json::array()},
          {"trained_tokens", succeeded ? Json(job.outputs().trained_tokens()) : Json()},
          {"hyperparameters", HyperparametersJson(job)},
          {"method", MethodJson(job)},
          {"user_provided_suffix", TextOrNull(job.spec().training().suffix())},
          {"seed", job.resolved_spec().training().seed()},
          {"integrations", Json::array()},
          {"metadata", MetadataJson(job)},
          {"error", ErrorJson(job)}};
}

Json CheckpointJson(const scheduler_pb::Checkpoint& checkpoint, const Job& job) {
  const std::string id(LastPart(job.name()));
  const std::string& slug = job.resolved_spec().training().suffix();
  const std::string& suffix = slug.empty() ? job.spec().training().suffix() : slug;
  const std::string alias =
      absl::StrCat("ft:", job.base_model(), ":", ProjectSlug(job.name()), ":", suffix, ":", id);
  return {{"id", absl::StrCat("ftckpt_", id, "_", checkpoint.step())},
          {"object", "fine_tuning.job.checkpoint"},
          {"created_at", checkpoint.create_time().seconds()},
          {"fine_tuned_model_checkpoint", absl::StrCat(alias, ":ckpt-step-", checkpoint.step())},
          {"fine_tuning_job_id", JobIdOf(job.name())},
          {"metrics", MetricsJson(checkpoint.metrics())},
          {"step_number", checkpoint.step()}};
}

std::vector<Json> EventsJson(const Job& job, const std::vector<scheduler_pb::JobEvent>& events,
                             const std::vector<scheduler_pb::MetricPoint>& points) {
  const std::string job_id(LastPart(job.name()));
  // Time, then kind and number: metrics of the second in which the job ended come before its end.
  using Key = std::tuple<int64_t, int32_t, int, int64_t>;
  std::vector<std::pair<Key, Json>> all;
  for (const scheduler_pb::JobEvent& event : events) {
    if (event.type() == scheduler_pb::JobEvent::METRICS) continue;  // the points say it
    Json json = EventBase(absl::StrCat("ftevent-", job_id, "-", event.sequence()), event.time(),
                          LevelOf(event.level()), event.message(), "message");
    all.emplace_back(Key{event.time().seconds(), event.time().nanos(), 1, event.sequence()},
                     std::move(json));
  }
  for (const scheduler_pb::MetricPoint& point : points) {
    Json json = EventBase(
        absl::StrCat("ftevent-", job_id, "-step-", point.step()), point.time(), "info",
        absl::StrCat("Step ", point.step(), "/", job.progress().steps(),
                     ": training loss=", FixedText(point.has_train_loss(), point.train_loss())),
        "metrics");
    json["data"] = MetricsJson(point);
    all.emplace_back(Key{point.time().seconds(), point.time().nanos(), 0, point.step()},
                     std::move(json));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return b.first < a.first; });
  std::vector<Json> out;
  for (auto& [key, json] : all) out.push_back(std::move(json));
  return out;
}

std::string MetricsCsv(const std::vector<scheduler_pb::MetricPoint>& points) {
  std::string csv = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n";
  for (const scheduler_pb::MetricPoint& point : points) {
    absl::StrAppend(
        &csv, point.step(), ",", FixedText(point.has_train_loss(), point.train_loss()), ",",
        FixedText(point.has_train_mean_token_accuracy(), point.train_mean_token_accuracy()), ",",
        FixedText(point.has_valid_loss(), point.valid_loss()), ",",
        FixedText(point.has_valid_mean_token_accuracy(), point.valid_mean_token_accuracy()), "\n");
  }
  return csv;
}

bool IsFineTuning(const Job& job) { return job.kind() != Job::EXPORT && job.kind() != Job::SCORE; }

absl::StatusOr<Json> ListJson(const std::vector<Json>& all, const std::string& after,
                              size_t limit) {
  auto begin = all.begin();
  if (!after.empty()) {
    begin =
        std::find_if(all.begin(), all.end(), [&](const Json& item) { return item["id"] == after; });
    if (begin == all.end()) return NoSuch("object to list after", after, "after");
    ++begin;
  }
  Json data = Json::array();
  for (; begin != all.end() && data.size() < limit; ++begin) data.push_back(*begin);
  return Json{{"object", "list"},
              {"data", data},
              {"has_more", begin != all.end()},
              {"first_id", data.empty() ? Json() : data.front()["id"]},
              {"last_id", data.empty() ? Json() : data.back()["id"]}};
}

}  // namespace crossover::router
