#include "services/training_scheduler/storage/job_json.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "services/training_scheduler/storage/usage_json.h"

namespace crossover::scheduler {
namespace {

using nlohmann::json;

// Writing and reading are one list of fields each (Fields below), visited by one of these two.
struct Writer {
  json object = json::object();

  template <typename T>
  void operator()(const char* key, const T& value) {
    object[key] = Encode(value);
  }
  template <typename T>
  void operator()(const char* key, const std::optional<T>& value) {
    if (value.has_value()) object[key] = Encode(*value);
  }

  template <typename T>
  static json Encode(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return Name(value);
    } else {
      return value;
    }
  }
  static json Encode(const absl::Duration& value) { return absl::ToDoubleSeconds(value); }
};

struct Reader {
  const json& object;

  template <typename T>
  void operator()(const char* key, T& value) {
    const auto found = object.find(key);
    if (Has(found)) Decode(*found, value);
  }
  template <typename T>
  void operator()(const char* key, std::optional<T>& value) {
    const auto found = object.find(key);
    if (Has(found)) Decode(*found, value.emplace());
  }

  // Numbers that are not finite are written as null.
  bool Has(json::const_iterator found) const { return found != object.end() && !found->is_null(); }

  template <typename T>
  static void Decode(const json& from, T& to) {
    if constexpr (std::is_enum_v<T>) {
      const std::optional<T> parsed = Parse(from.get<std::string>(), to);
      if (!parsed.has_value())
        throw json::other_error::create(501, "unknown name " + from.dump(), &from);
      to = *parsed;
    } else {
      from.get_to(to);
    }
  }
  static void Decode(const json& from, absl::Duration& to) {
    to = absl::Seconds(from.get<double>());
  }

  static std::optional<Schedule> Parse(const std::string& name, Schedule) {
    return ParseSchedule(name);
  }
  static std::optional<Packing> Parse(const std::string& name, Packing) {
    return ParsePacking(name);
  }
  static std::optional<LossOn> Parse(const std::string& name, LossOn) { return ParseLossOn(name); }
  static std::optional<ComputeType> Parse(const std::string& name, ComputeType) {
    return ParseComputeType(name);
  }
  static std::optional<InitialAdapter> Parse(const std::string& name, InitialAdapter) {
    return ParseInitialAdapter(name);
  }
  static std::optional<ActivationPolicy> Parse(const std::string& name, ActivationPolicy) {
    return ParseActivationPolicy(name);
  }
  static std::optional<ExportFormat> Parse(const std::string& name, ExportFormat) {
    return ParseExportFormat(name);
  }
  static std::optional<Objective> Parse(const std::string& name, Objective) {
    return ParseObjective(name);
  }
  static std::optional<ErrorClass> Parse(const std::string& name, ErrorClass) {
    return ParseErrorClass(name);
  }
};

// Of TechniqueSpec and ResolvedTechniques.
template <typename Visit, typename Techniques>
void TechniqueFields(Visit& visit, Techniques& techniques) {
  visit("dropout", techniques.dropout);
  visit("layers", techniques.layers);
  visit("rank_pattern", techniques.rank_pattern);
  visit("alpha_pattern", techniques.alpha_pattern);
  visit("dora", techniques.dora);
  visit("initial", techniques.initial);
  visit("decay_share", techniques.decay_share);
  visit("lora_plus_ratio", techniques.lora_plus_ratio);
  visit("embedding_noise", techniques.embedding_noise);
  visit("activations", techniques.activations);
}

// What TrainingSpec and ResolvedSpec have in common; optional in the one, plain in the other.
template <typename Visit, typename Spec>
void TrainingFields(Visit& visit, Spec& spec) {
  visit("rank", spec.rank);
  visit("alpha", spec.alpha);
  visit("targets", spec.targets);
  visit("rank_stabilised", spec.rank_stabilised);
  visit("learning_rate", spec.learning_rate);
  visit("schedule", spec.schedule);
  visit("warmup_steps", spec.warmup_steps);
  visit("batch_size", spec.batch_size);
  visit("epochs", spec.epochs);
  visit("max_steps", spec.max_steps);
  visit("max_length", spec.max_length);
  visit("seed", spec.seed);
  visit("packing", spec.packing);
  visit("checkpoint_every", spec.checkpoint_every);
  visit("eval_every", spec.eval_every);
  visit("suffix", spec.suffix);
  visit("template_date", spec.template_date);
  visit("loss_on", spec.loss_on);
  visit("compute_type", spec.compute_type);
  visit("weight_decay", spec.weight_decay);
  visit("adam_beta1", spec.adam_beta1);
  visit("adam_beta2", spec.adam_beta2);
  visit("adam_epsilon", spec.adam_epsilon);
  visit("max_grad_norm", spec.max_grad_norm);
  visit("early_stop_patience", spec.early_stop_patience);
  visit("validation_fraction", spec.validation_fraction);
  visit("max_rows", spec.max_rows);
  visit("tokens_per_sequence", spec.tokens_per_sequence);
  visit("initial_adapter", spec.initial_adapter);
  TechniqueFields(visit, spec.techniques);
  visit("preference_beta", spec.preference_beta);
  visit("preference_label_smoothing", spec.preference_label_smoothing);
  visit("distil_weight", spec.distil_weight);
  visit("kl_weight", spec.kl_weight);
}

template <typename Visit, typename Spec>
void Fields(Visit& visit, Spec& spec) {
  auto& training = spec.training;
  TrainingFields(visit, training);
  visit("learning_rate_multiplier", training.learning_rate_multiplier);
  visit("warmup_ratio", training.warmup_ratio);
  visit("sweep_max_trials", spec.sweep.max_trials);
  visit("sweep_parallelism", spec.sweep.parallelism);
  visit("sweep_objective", spec.sweep.objective);
  visit("sweep_median_stop", spec.sweep.median_stop);
  visit("export_adapter", spec.model_export.adapter);
  visit("export_format", spec.model_export.format);
}

template <typename Visit, typename Spec>
void ResolvedFields(Visit& visit, Spec& spec) {
  TrainingFields(visit, spec);
  visit("objective", spec.objective);
  visit("median_stop", spec.median_stop);
  visit("steps", spec.steps);
  visit("train_rows", spec.train_rows);
  visit("validation_rows", spec.validation_rows);
  visit("tokenizer_digest", spec.tokenizer_digest);
  visit("template_digest", spec.template_digest);
  visit("export_format", spec.export_format);
}

template <typename Visit, typename Inputs>
void InputFields(Visit& visit, Inputs& inputs) {
  visit("base_digest", inputs.base_digest);
  visit("dataset_digest", inputs.dataset_digest);
  visit("adapter_digest", inputs.adapter_digest);
  visit("architecture", inputs.architecture);
  visit("licence", inputs.licence);
}

template <typename Visit, typename Consumption>
void ConsumptionFields(Visit& visit, Consumption& value) {
  visit("seconds", value.seconds);
  visit("seconds_lower", value.seconds_lower);
  visit("seconds_upper", value.seconds_upper);
  visit("tokens", value.tokens);
  visit("peak_memory_bytes", value.peak_memory_bytes);
  visit("cost_usd", value.cost_usd);
  visit("work", value.work);
  visit("basis", value.basis);
}

template <typename Visit, typename Progress>
void ProgressFields(Visit& visit, Progress& progress) {
  visit("step", progress.step);
  visit("steps", progress.steps);
  visit("tokens", progress.tokens);
  visit("epoch", progress.epoch);
  visit("tokens_per_second", progress.tokens_per_second);
  visit("train_loss", progress.train_loss);
  visit("valid_loss", progress.valid_loss);
  visit("eta", progress.eta);
  visit("phase", progress.phase);
}

template <typename Visit, typename Outputs>
void OutputFields(Visit& visit, Outputs& outputs) {
  visit("adapter_digest", outputs.adapter_digest);
  visit("artifact_digest", outputs.artifact_digest);
  visit("report_digest", outputs.report_digest);
  visit("model_version", outputs.model_version);
  visit("model_alias", outputs.model_alias);
  visit("trained_tokens", outputs.trained_tokens);
  visit("bytes", outputs.bytes);
}

template <typename Visit, typename JobError>
void ErrorFields(Visit& visit, JobError& error) {
  visit("class", error.error_class);
  visit("reason", error.reason);
  visit("message", error.message);
  visit("log_tail", error.log_tail);
  visit("field", error.field);
}

// Sub-objects of plan and report: written by `fields`, and read back if they are there.
template <typename Value, typename FieldsFn>
json Pack(const Value& value, FieldsFn fields) {
  Writer writer;
  fields(writer, value);
  return std::move(writer.object);
}
template <typename Value, typename FieldsFn>
void Unpack(const json& parent, const char* key, Value& value, FieldsFn fields) {
  const auto found = parent.find(key);
  if (found == parent.end()) return;
  Reader reader{*found};
  fields(reader, value);
}

constexpr auto kResolved = [](auto& visit, auto& value) { ResolvedFields(visit, value); };
constexpr auto kInputs = [](auto& visit, auto& value) { InputFields(visit, value); };
constexpr auto kConsumption = [](auto& visit, auto& value) { ConsumptionFields(visit, value); };
constexpr auto kProgress = [](auto& visit, auto& value) { ProgressFields(visit, value); };
constexpr auto kOutputs = [](auto& visit, auto& value) { OutputFields(visit, value); };
constexpr auto kError = [](auto& visit, auto& value) { ErrorFields(visit, value); };
constexpr auto kSpec = [](auto& visit, auto& value) { Fields(visit, value); };

// Text that a worker sent may hold any bytes; JSON may not, and what reads it inside Postgres
// stumbles over an escaped NUL.
std::string Dump(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  constexpr std::string_view kNul = "\\u0000", kReplacement = "\\ufffd";
  for (size_t at = text.find(kNul); at != std::string::npos; at = text.find(kNul, at)) {
    const size_t before = at == 0 ? std::string::npos : text.find_last_not_of('\\', at - 1);
    // A backslash that is itself escaped begins nothing.
    if ((at - before) % 2 == 1) text.replace(at, kNul.size(), kReplacement);
    at += 1;
  }
  return text;
}

// nlohmann's exceptions end here.
template <typename Fn>
absl::Status Parsing(const char* what, std::string_view text, Fn&& fn) {
  try {
    fn(json::parse(text));
    return absl::OkStatus();
  } catch (const json::exception& error) {
    return absl::InternalError(absl::StrCat("stored ", what, " cannot be read: ", error.what()));
  }
}

}  // namespace

std::string StringsToJson(const StringMap& values) { return Dump(json(values)); }
std::string NumbersToJson(const NumberMap& values) { return Dump(json(values)); }

std::string SpecToJson(const JobSpec& spec) {
  json object = Pack(spec, kSpec);
  for (const SweepAxis& axis : spec.sweep.axes) {
    object["sweep_axes"].push_back({{"field", axis.field}, {"values", axis.values}});
  }
  return Dump(object);
}

std::string GangToJson(const std::vector<GangMember>& gang) {
  if (gang.empty()) return "";
  json members = json::array();
  for (const GangMember& member : gang) {
    members.push_back({{"rank", member.rank},
                       {"worker", member.worker},
                       {"incarnation", member.incarnation},
                       {"token_hash", member.token_hash},
                       {"expire_us", absl::ToUnixMicros(member.expire_time)}});
    if (member.usage.has_value()) members.back()["usage"] = PackUsage(*member.usage);
  }
  return Dump(members);
}

absl::Status GangFromJson(std::string_view text, std::vector<GangMember>& gang) {
  return Parsing("lease_gang", text, [&](const json& members) {
    for (const json& member : members) {
      gang.push_back({.rank = member.at("rank").get<int32_t>(),
                      .worker = member.at("worker").get<std::string>(),
                      .incarnation = member.at("incarnation").get<std::string>(),
                      .token_hash = member.at("token_hash").get<std::string>(),
                      .expire_time = absl::FromUnixMicros(member.at("expire_us").get<int64_t>()),
                      .usage = std::nullopt});
      if (const auto usage = member.find("usage"); usage != member.end())
        gang.back().usage = UnpackUsage(*usage);
    }
  });
}

std::string PlanToJson(const Job& job) {
  json sources = json::object();
  for (const auto& [field, source] : job.resolved.sources) {
    sources[field] = source.given ? json(true) : json(source.rule);
  }
  json trials = json::array();
  for (const ResolvedTrial& trial : job.resolved.trials) {
    trials.push_back({{"values", trial.values}, {"spec", Pack(trial.spec, kResolved)}});
  }
  return Dump({{"resolved", Pack(job.resolved, kResolved)},
               {"trials", std::move(trials)},
               {"sources", std::move(sources)},
               {"inputs", Pack(job.inputs, kInputs)},
               {"estimate", Pack(job.estimate, kConsumption)}});
}

std::string ReportToJson(const Job& job) {
  json report = {{"progress", Pack(job.progress, kProgress)},
                 {"actual", Pack(job.actual, kConsumption)},
                 {"outputs", Pack(job.outputs, kOutputs)},
                 {"last_checkpoint_epoch", job.last_checkpoint_epoch},
                 {"log_tail", job.log_tail}};
  if (job.line_time.has_value()) report["line_us"] = absl::ToUnixMicros(*job.line_time);
  if (job.error.has_value()) report["error"] = Pack(*job.error, kError);
  if (job.lease.has_value() && job.lease->usage.has_value())
    report["usage"] = PackUsage(*job.lease->usage);
  return Dump(report);
}

absl::Status StringsFromJson(std::string_view text, StringMap& values) {
  return Parsing("labels", text, [&](const json& object) { object.get_to(values); });
}

absl::Status NumbersFromJson(std::string_view text, NumberMap& values) {
  return Parsing("metrics", text, [&](const json& object) {
    for (const auto& [key, value] : object.items()) {
      if (value.is_number()) values[key] = value.get<double>();  // not finite numbers are null
    }
  });
}

absl::Status SpecFromJson(std::string_view text, JobSpec& spec) {
  return Parsing("spec", text, [&](const json& object) {
    Reader reader{object};
    Fields(reader, spec);
    const auto axes = object.find("sweep_axes");
    if (axes == object.end()) return;
    for (const json& axis : *axes) {
      spec.sweep.axes.push_back(
          {axis.at("field").get<std::string>(), axis.at("values").get<std::vector<std::string>>()});
    }
  });
}

absl::Status PlanFromJson(std::string_view text, Job& job) {
  return Parsing("plan", text, [&](const json& plan) {
    Unpack(plan, "resolved", job.resolved, kResolved);
    Unpack(plan, "inputs", job.inputs, kInputs);
    Unpack(plan, "estimate", job.estimate, kConsumption);
    if (const auto trials = plan.find("trials"); trials != plan.end()) {
      for (const json& trial : *trials) {
        ResolvedTrial& out = job.resolved.trials.emplace_back();
        trial.at("values").get_to(out.values);
        Unpack(trial, "spec", out.spec, kResolved);
      }
    }
    const auto sources = plan.find("sources");
    if (sources == plan.end()) return;
    for (const auto& [field, rule] : sources->items()) {
      job.resolved.sources[field] =
          rule.is_string() ? Source{false, rule.get<std::string>()} : Source{true, ""};
    }
  });
}

absl::Status ReportFromJson(std::string_view text, Job& job) {
  return Parsing("report", text, [&](const json& report) {
    Unpack(report, "progress", job.progress, kProgress);
    Unpack(report, "actual", job.actual, kConsumption);
    Unpack(report, "outputs", job.outputs, kOutputs);
    Reader{report}("last_checkpoint_epoch", job.last_checkpoint_epoch);
    Reader{report}("log_tail", job.log_tail);
    if (const auto place = report.find("line_us"); place != report.end()) {
      job.line_time = absl::FromUnixMicros(place->get<int64_t>());
    }
    if (report.contains("error")) Unpack(report, "error", job.error.emplace(), kError);
    const auto usage = report.find("usage");
    if (usage != report.end() && job.lease.has_value()) job.lease->usage = UnpackUsage(*usage);
  });
}

}  // namespace crossover::scheduler
