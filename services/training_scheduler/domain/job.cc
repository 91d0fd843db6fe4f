#include "services/training_scheduler/domain/job.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"

namespace crossover::scheduler {
namespace {

template <typename Enum>
using Pair = std::pair<Enum, std::string_view>;

constexpr std::array kJobKinds = {
    Pair<JobKind>{JobKind::kSft, "SFT"},       Pair<JobKind>{JobKind::kPreference, "PREFERENCE"},
    Pair<JobKind>{JobKind::kDistil, "DISTIL"}, Pair<JobKind>{JobKind::kSweep, "SWEEP"},
    Pair<JobKind>{JobKind::kExport, "EXPORT"}, Pair<JobKind>{JobKind::kScore, "SCORE"},
};
constexpr std::array kStates = {
    Pair<JobState>{JobState::kValidating, "VALIDATING"},
    Pair<JobState>{JobState::kBlocked, "BLOCKED"},
    Pair<JobState>{JobState::kQueued, "QUEUED"},
    Pair<JobState>{JobState::kRunning, "RUNNING"},
    Pair<JobState>{JobState::kPausing, "PAUSING"},
    Pair<JobState>{JobState::kPaused, "PAUSED"},
    Pair<JobState>{JobState::kCancelling, "CANCELLING"},
    Pair<JobState>{JobState::kSucceeded, "SUCCEEDED"},
    Pair<JobState>{JobState::kFailed, "FAILED"},
    Pair<JobState>{JobState::kCancelled, "CANCELLED"},
};
constexpr std::array kErrorClasses = {
    Pair<ErrorClass>{ErrorClass::kUser, "USER"},
    Pair<ErrorClass>{ErrorClass::kPlatform, "PLATFORM"},
    Pair<ErrorClass>{ErrorClass::kInfrastructure, "INFRASTRUCTURE"},
};
constexpr std::array kFormats = {
    Pair<ExportFormat>{ExportFormat::kPeft, "PEFT"},
    Pair<ExportFormat>{ExportFormat::kGgufF16, "GGUF_F16"},
    Pair<ExportFormat>{ExportFormat::kGgufQ8_0, "GGUF_Q8_0"},
    Pair<ExportFormat>{ExportFormat::kSafetensors, "SAFETENSORS"},
    Pair<ExportFormat>{ExportFormat::kGgufAdapter, "GGUF_ADAPTER"},
    Pair<ExportFormat>{ExportFormat::kGgufBf16, "GGUF_BF16"},
    Pair<ExportFormat>{ExportFormat::kGgufQ4_0, "GGUF_Q4_0"},
    Pair<ExportFormat>{ExportFormat::kGgufQ4_K_M, "GGUF_Q4_K_M"},
    Pair<ExportFormat>{ExportFormat::kGgufQ5_K_M, "GGUF_Q5_K_M"},
    Pair<ExportFormat>{ExportFormat::kGgufQ6_K, "GGUF_Q6_K"},
};
constexpr std::array kEventTypes = {
    Pair<EventType>{EventType::kMessage, "MESSAGE"},
    Pair<EventType>{EventType::kMetrics, "METRICS"},
    Pair<EventType>{EventType::kStateChanged, "STATE_CHANGED"},
    Pair<EventType>{EventType::kLeased, "LEASED"},
    Pair<EventType>{EventType::kLeaseExpired, "LEASE_EXPIRED"},
    Pair<EventType>{EventType::kCheckpointRecorded, "CHECKPOINT_RECORDED"},
    Pair<EventType>{EventType::kAttemptFailed, "ATTEMPT_FAILED"},
    Pair<EventType>{EventType::kVerb, "VERB"},
    Pair<EventType>{EventType::kResolved, "RESOLVED"},
    Pair<EventType>{EventType::kOverfitting, "OVERFITTING"},
    Pair<EventType>{EventType::kTrialEnded, "TRIAL_ENDED"},
};
constexpr std::array kEventLevels = {
    Pair<EventLevel>{EventLevel::kInfo, "INFO"},
    Pair<EventLevel>{EventLevel::kWarn, "WARN"},
    Pair<EventLevel>{EventLevel::kError, "ERROR"},
};
constexpr std::array kSchedules = {
    Pair<Schedule>{Schedule::kConstant, "CONSTANT"},
    Pair<Schedule>{Schedule::kLinear, "LINEAR"},
    Pair<Schedule>{Schedule::kCosine, "COSINE"},
    Pair<Schedule>{Schedule::kWsd, "WSD"},
};
constexpr std::array kPackings = {
    Pair<Packing>{Packing::kNone, "NONE"},
    Pair<Packing>{Packing::kRows, "ROWS"},
    Pair<Packing>{Packing::kSharedPrefix, "SHARED_PREFIX"},
};
constexpr std::array kLossOns = {
    Pair<LossOn>{LossOn::kLastAssistant, "LAST_ASSISTANT"},
    Pair<LossOn>{LossOn::kAllAssistants, "ALL_ASSISTANTS"},
    Pair<LossOn>{LossOn::kAllTokens, "ALL_TOKENS"},
};
constexpr std::array kComputeTypes = {
    Pair<ComputeType>{ComputeType::kBfloat16, "BFLOAT16"},
    Pair<ComputeType>{ComputeType::kFloat32, "FLOAT32"},
};
constexpr std::array kObjectives = {
    Pair<Objective>{Objective::kSupervised, "SFT"},
    Pair<Objective>{Objective::kPreference, "PREFERENCE"},
    Pair<Objective>{Objective::kDistil, "DISTIL"},
};

template <typename Table, typename Enum>
std::string_view NameIn(const Table& table, Enum value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return "UNKNOWN";
}

template <typename Enum, typename Table>
std::optional<Enum> ParseIn(const Table& table, std::string_view text) {
  for (const auto& [value, name] : table) {
    if (name == text) return value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view Name(JobKind kind) { return NameIn(kJobKinds, kind); }
std::string_view Name(JobState state) { return NameIn(kStates, state); }
std::string_view Name(ErrorClass error_class) { return NameIn(kErrorClasses, error_class); }
std::string_view Name(ExportFormat format) { return NameIn(kFormats, format); }

std::string ExportFormatNames() {
  std::string names;
  for (const Pair<ExportFormat>& format : kFormats) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", ToAbsl(format.second));
  }
  return names;
}
std::string_view Name(EventType type) { return NameIn(kEventTypes, type); }
std::string_view Name(EventLevel level) { return NameIn(kEventLevels, level); }
std::string_view Name(Schedule schedule) { return NameIn(kSchedules, schedule); }
std::string_view Name(Packing packing) { return NameIn(kPackings, packing); }
std::string_view Name(LossOn loss_on) { return NameIn(kLossOns, loss_on); }
std::string_view Name(Objective objective) { return NameIn(kObjectives, objective); }
std::string_view Name(ComputeType type) { return NameIn(kComputeTypes, type); }

std::optional<JobKind> ParseJobKind(std::string_view name) {
  return ParseIn<JobKind>(kJobKinds, name);
}
std::optional<JobState> ParseJobState(std::string_view name) {
  return ParseIn<JobState>(kStates, name);
}
std::optional<ErrorClass> ParseErrorClass(std::string_view name) {
  return ParseIn<ErrorClass>(kErrorClasses, name);
}
std::optional<ExportFormat> ParseExportFormat(std::string_view name) {
  return ParseIn<ExportFormat>(kFormats, name);
}
std::optional<Schedule> ParseSchedule(std::string_view name) {
  return ParseIn<Schedule>(kSchedules, name);
}
std::optional<Packing> ParsePacking(std::string_view name) {
  return ParseIn<Packing>(kPackings, name);
}
std::optional<LossOn> ParseLossOn(std::string_view name) { return ParseIn<LossOn>(kLossOns, name); }
std::optional<ComputeType> ParseComputeType(std::string_view name) {
  return ParseIn<ComputeType>(kComputeTypes, name);
}
std::optional<EventType> ParseEventType(std::string_view name) {
  return ParseIn<EventType>(kEventTypes, name);
}
std::optional<EventLevel> ParseEventLevel(std::string_view name) {
  return ParseIn<EventLevel>(kEventLevels, name);
}

std::optional<Objective> ParseObjective(std::string_view name) {
  return ParseIn<Objective>(kObjectives, name);
}

Objective ObjectiveOf(JobKind kind, const JobSpec& spec) {
  if (kind == JobKind::kSweep) return spec.sweep.objective.value_or(Objective::kSupervised);
  if (kind == JobKind::kPreference) return Objective::kPreference;
  return kind == JobKind::kDistil ? Objective::kDistil : Objective::kSupervised;
}

}  // namespace crossover::scheduler
