#include "services/trainer_worker/engine/llm_train_engine.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/base_text.h"
#include "llm/export/export.h"
#include "llm/model/exceptions.h"
#include "services/trainer_worker/engine/peak_flops.h"
#include "services/trainer_worker/engine/peak_memory.h"
#include "services/trainer_worker/engine/row_encoder.h"

namespace crossover::worker {
namespace {

constexpr std::array kTargets = {
    std::pair<std::string_view, llm::Target>{"q_proj", llm::Target::kQ},
    std::pair<std::string_view, llm::Target>{"k_proj", llm::Target::kK},
    std::pair<std::string_view, llm::Target>{"v_proj", llm::Target::kV},
    std::pair<std::string_view, llm::Target>{"o_proj", llm::Target::kO},
    std::pair<std::string_view, llm::Target>{"gate_proj", llm::Target::kGate},
    std::pair<std::string_view, llm::Target>{"up_proj", llm::Target::kUp},
    std::pair<std::string_view, llm::Target>{"down_proj", llm::Target::kDown},
};

absl::StatusOr<llm::Target> TargetOf(const std::string& name) {
  for (const auto& [known, target] : kTargets) {
    if (known == name) return target;
  }
  return Error(absl::StatusCode::kInvalidArgument, "SPEC_INVALID",
               absl::StrCat("'", name, "' is not a linear layer that can have an adapter"));
}

llm::Schedule ToLlm(Schedule schedule) {
  switch (schedule) {
    case Schedule::kConstant:
      return llm::Schedule::kConstant;
    case Schedule::kLinear:
      return llm::Schedule::kLinear;
    case Schedule::kCosine:
      return llm::Schedule::kCosine;
    case Schedule::kWsd:
      return llm::Schedule::kWsd;
  }
  return llm::Schedule::kCosine;
}

// Of a job for a worker that was told `configured`. A job's bfloat16 is a wish: without hardware
// for it, computing would be many times slower.
llm::ComputeType ComputeTypeOf(ComputeType of_job, llm::ComputeType configured) {
  if (configured != llm::ComputeType::kAuto) return configured;
  return of_job == ComputeType::kFloat32 ? llm::ComputeType::kFp32 : llm::ComputeType::kAuto;
}

llm::Recompute ToLlm(ActivationPolicy policy) {
  switch (policy) {
    case ActivationPolicy::kAuto:
      return llm::Recompute::kAuto;
    case ActivationPolicy::kKeep:
      return llm::Recompute::kNever;
    case ActivationPolicy::kRecompute:
      return llm::Recompute::kAlways;
  }
  return llm::Recompute::kAuto;
}

void SetTechniques(const Techniques& techniques, llm::TrainConfig& config) {
  config.dropout = techniques.dropout;
  config.layers = techniques.layers;
  config.rank_pattern.assign(techniques.rank_pattern.begin(), techniques.rank_pattern.end());
  config.alpha_pattern.assign(techniques.alpha_pattern.begin(), techniques.alpha_pattern.end());
  config.dora = techniques.dora;
  config.initial = techniques.initial == InitialAdapter::kPissa ? llm::InitialAdapter::kPissa
                                                                : llm::InitialAdapter::kUniform;
  config.decay_share = techniques.decay_share;
  config.b_rate = techniques.lora_plus_ratio;
  config.neftune = techniques.embedding_noise;
  config.recompute = ToLlm(techniques.activations);
}

llm::ObjectiveKind ToLlm(Objective objective) {
  switch (objective) {
    case Objective::kSupervised:
      return llm::ObjectiveKind::kSupervised;
    case Objective::kPreference:
      return llm::ObjectiveKind::kPreference;
    case Objective::kDistil:
      return llm::ObjectiveKind::kDistil;
  }
  return llm::ObjectiveKind::kSupervised;
}

// By the names of scheduler.v1.MetricPoint: what the plan's objective has to say.
std::map<std::string, double> MetricsOf(const TrainPlan& plan, const llm::ObjectiveReport& report,
                                        bool validation) {
  std::map<std::string, double> metrics;
  if (plan.objective == Objective::kPreference) {
    metrics = {{"reward_margin", report.reward_margin},
               {"reward_accuracy", report.reward_accuracy}};
  }
  if (validation) return metrics;
  if (plan.objective == Objective::kDistil) metrics["teacher_kl"] = report.teacher_kl;
  if (plan.kl_weight > 0) metrics["kl_to_base"] = report.kl_to_base;
  return metrics;
}

absl::StatusOr<llm::ExportFormat> ToLlm(ExportFormat format) {
  using Kind = llm::ExportFormat::Kind;
  using Type = llm::GgufFileType;
  switch (format) {
    case ExportFormat::kPeft:
      return Error(absl::StatusCode::kInvalidArgument, "SPEC_INVALID",
                   "the adapter itself is what the format PEFT asks for");
    case ExportFormat::kGgufF16:
      return llm::ExportFormat{Kind::kGguf, Type::kF16};
    case ExportFormat::kGgufBf16:
      return llm::ExportFormat{Kind::kGguf, Type::kBf16};
    case ExportFormat::kGgufQ8_0:
      return llm::ExportFormat{Kind::kGguf, Type::kQ8_0};
    case ExportFormat::kGgufQ4_0:
      return llm::ExportFormat{Kind::kGguf, Type::kQ4_0};
    case ExportFormat::kGgufQ4_K_M:
      return llm::ExportFormat{Kind::kGguf, Type::kQ4_K_M};
    case ExportFormat::kGgufQ5_K_M:
      return llm::ExportFormat{Kind::kGguf, Type::kQ5_K_M};
    case ExportFormat::kGgufQ6_K:
      return llm::ExportFormat{Kind::kGguf, Type::kQ6_K};
    case ExportFormat::kGgufAdapter:
      return llm::ExportFormat{.kind = Kind::kGgufAdapter};
    case ExportFormat::kSafetensors:
      return llm::ExportFormat{.kind = Kind::kSafetensors};
  }
  return llm::ExportFormat{};  // Unreachable.
}

// "" is the library's own date, as it is for requests to a model server.
absl::StatusOr<llm::ChatTemplateOptions> ChatOptionsOf(const std::string& date) {
  llm::ChatTemplateOptions options;
  if (date.empty() || absl::ParseCivilTime(date, &options.date)) return options;
  return Error(absl::StatusCode::kInvalidArgument, "SPEC_INVALID",
               absl::StrCat("template_date is '", date, "'; must be YYYY-MM-DD"));
}

class LlmTrainRun final : public TrainRun {
 public:
  // The size's tokens are counted here.
  LlmTrainRun(const TrainPlan& plan, std::unique_ptr<llm::Trainer> trainer, TrainSize size,
              std::string base_digest, double peak_flops)
      : plan_(plan),
        trainer_(std::move(trainer)),
        size_(size),
        base_digest_(std::move(base_digest)) {
    const llm::TrainEstimate estimate = trainer_->Estimate();
    size_.tokens = estimate.tokens;
    if (estimate.tokens > 0 && peak_flops > 0) {
      peaks_per_token_ = estimate.flops / static_cast<double>(estimate.tokens) / peak_flops;
    }
  }

  absl::StatusOr<bool> Train(const OnStep& on_step) override {
    absl::StatusOr<llm::TrainOutcome> outcome = trainer_->Run([&](const llm::StepReport& report) {
      const Step step{.step = report.step,
                      .steps = report.steps,
                      .epoch = report.epoch,
                      .loss = report.loss,
                      .learning_rate = report.learning_rate,
                      .grad_norm = report.gradient_norm,
                      .tokens = report.tokens,
                      .tokens_seen = report.tokens_seen,
                      .trained_tokens = report.trained_tokens,
                      .seconds = report.seconds,
                      .tokens_per_second = report.tokens_per_second,
                      .flops_ratio = peaks_per_token_ * report.tokens_per_second,
                      .objective = MetricsOf(plan_, report.objective, /*validation=*/false)};
      return on_step(step) == Decision::kContinue ? llm::StepDecision::kContinue
                                                  : llm::StepDecision::kStop;
    });
    RETURN_IF_ERROR(outcome.status());
    return outcome->finished || outcome->step == outcome->steps;
  }

  absl::StatusOr<TrainTerms> Terms() override {
    ASSIGN_OR_RETURN(llm::TrainTerms terms, trainer_->Terms());
    return TrainTerms{.compute_type = std::move(terms.compute_type),
                      .base_weights = std::move(terms.base_weights),
                      .rows = std::move(terms.rows)};
  }

  TrainSize Size() const override { return size_; }

  bool has_validation() const override { return size_.validation_rows > 0; }

  absl::StatusOr<Validation> Validate() override {
    const absl::StatusOr<llm::EvaluationLoss> loss = trainer_->Evaluate();
    RETURN_IF_ERROR(loss.status());
    return Validation{loss->loss, loss->token_accuracy,
                      MetricsOf(plan_, loss->objective, /*validation=*/true)};
  }

  absl::Status SaveCheckpoint(const std::filesystem::path& folder) override {
    return trainer_->SaveCheckpoint(folder.string());
  }

  absl::Status ExportAdapter(const std::filesystem::path& folder) override {
    return trainer_->ExportAdapter(folder.string(), base_digest_);
  }

 private:
  const TrainPlan plan_;
  const std::unique_ptr<llm::Trainer> trainer_;
  TrainSize size_;
  const std::string base_digest_;
  double peaks_per_token_ = 0;  // seconds a token would take at the processor's peak
};

}  // namespace

absl::StatusOr<llm::TrainConfig> ToTrainConfig(const TrainPlan& plan, int64_t rows) {
  llm::TrainConfig config;
  config.rank = static_cast<int>(plan.rank);
  config.alpha = plan.alpha;
  config.rslora = plan.rank_stabilised;
  if (!plan.targets.empty()) config.targets.clear();
  for (const std::string& name : plan.targets) {
    ASSIGN_OR_RETURN(llm::Target target, TargetOf(name));
    config.targets.push_back(target);
  }
  config.learning_rate = plan.learning_rate;
  config.schedule = ToLlm(plan.schedule);
  config.warmup_steps = plan.warmup_steps;
  config.epochs = plan.epochs;
  config.batch_rows = static_cast<int>(plan.batch_size);
  // max_steps of the trainer replaces the epochs; of the plan it only shortens them.
  const double steps =
      std::ceil(static_cast<double>(rows) / static_cast<double>(plan.batch_size)) * plan.epochs;
  if (plan.max_steps > 0 && static_cast<double>(plan.max_steps) < steps) {
    config.max_steps = plan.max_steps;
  }
  config.seed = static_cast<uint64_t>(plan.seed);
  config.beta1 = plan.adam_beta1;
  config.beta2 = plan.adam_beta2;
  config.epsilon = plan.adam_epsilon;
  config.weight_decay = plan.weight_decay;
  config.max_gradient_norm = plan.max_grad_norm;
  config.objective = ToLlm(plan.objective);
  config.preference_beta = plan.preference_beta;
  config.label_smoothing = plan.label_smoothing;
  config.distil_weight = plan.distil_weight;
  config.kl_weight = plan.kl_weight;
  config.max_row_tokens = plan.max_length;
  // A row longer than a pack is a pack of its own, so packs of one token are rows alone.
  config.max_pack_tokens = plan.packing == Packing::kNone ? 1 : plan.tokens_per_sequence;
  config.share_prefix = plan.packing == Packing::kSharedPrefix;
  SetTechniques(plan.techniques, config);
  return config;
}

void LlmTrainEngine::DropOtherBase(const TrainInputs& inputs, llm::ComputeType compute_type) {
  if (base_ != nullptr && base_->path() == inputs.base.string() &&
      base_compute_type_ == compute_type) {
    return;
  }
  base_.reset();  // never two in memory
  base_digest_.clear();
}

absl::StatusOr<std::shared_ptr<const llm::BaseModel>> LlmTrainEngine::Load(
    const TrainInputs& inputs, llm::ComputeType compute_type) {
  if (base_ != nullptr) return base_;
  llm::ExecutionOptions options;
  options.threads = options_.threads;
  options.compute_type = compute_type;
  options.weights = options_.weights;
  absl::StatusOr<std::shared_ptr<const llm::BaseModel>> base =
      llm::BaseModel::Load(inputs.base.string(), options);
  RETURN_IF_ERROR(base.status());
  base_ = *std::move(base);
  base_digest_ = inputs.base_digest;
  base_compute_type_ = compute_type;
  llm::BindThread(base_->execution());
  peak_flops_ = MeasurePeakFlops(base_->execution());
  return base_;
}

absl::StatusOr<std::unique_ptr<TrainRun>> LlmTrainEngine::Prepare(const TrainPlan& plan,
                                                                  const TrainInputs& inputs) {
  return llm::WithoutExceptions([&] { return PrepareRun(plan, inputs); });
}

absl::StatusOr<std::unique_ptr<TrainRun>> LlmTrainEngine::PrepareRun(const TrainPlan& plan,
                                                                     const TrainInputs& inputs) {
  ASSIGN_OR_RETURN(const llm::BaseText text, llm::ReadBaseText(inputs.base));
  ASSIGN_OR_RETURN(const llm::ChatTemplateOptions chat_options, ChatOptionsOf(plan.template_date));
  ASSIGN_OR_RETURN(std::shared_ptr<const llm::ChatTemplate> chat, text.Chat(chat_options));
  const llm::ComputeType compute_type = ComputeTypeOf(plan.compute_type, options_.compute_type);
  DropOtherBase(inputs, compute_type);
  // From here on memory is this job's. Where it cannot be counted anew, the earlier jobs' counts.
  (void)RestartPeakMemory();
  ASSIGN_OR_RETURN(EncodedRows rows, EncodeDataset(inputs.dataset, *chat, plan));
  ASSIGN_OR_RETURN(llm::TrainConfig config,
                   ToTrainConfig(plan, static_cast<int64_t>(rows.train.size())));
  ASSIGN_OR_RETURN(std::shared_ptr<const llm::BaseModel> base, Load(inputs, compute_type));
  llm::BindThread(base->execution());
  const TrainSize size{.rows = std::ssize(rows.train),
                       .validation_rows = std::ssize(rows.validation)};
  ASSIGN_OR_RETURN(std::unique_ptr<llm::Trainer> trainer,
                   llm::Trainer::Create(base, config, std::move(rows.train),
                                        std::move(rows.validation), inputs.peers));
  if (inputs.adapter.has_value()) RETURN_IF_ERROR(trainer->LoadAdapter(inputs.adapter->string()));
  if (inputs.checkpoint.has_value()) RETURN_IF_ERROR(trainer->Resume(inputs.checkpoint->string()));
  const int workers = inputs.peers == nullptr ? 1 : inputs.peers->size();
  return std::make_unique<LlmTrainRun>(plan, std::move(trainer), size, inputs.base_digest,
                                       peak_flops_ * workers);
}

absl::Status LlmTrainEngine::Export(const ExportPlan& plan, const ExportInputs& inputs,
                                    const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const llm::ExportFormat format, ToLlm(plan.format));
  ASSIGN_OR_RETURN(const llm::ChatTemplateOptions chat_options, ChatOptionsOf(plan.template_date));
  (void)RestartPeakMemory();
  llm::ExportOptions options;
  options.date = chat_options.date;
  options.lineage = {{"crossover.base", inputs.base_digest},
                     {"crossover.adapter", inputs.adapter_digest}};
  return llm::WithoutExceptions(
      [&] { return llm::ExportAdapter(inputs.base, inputs.adapter, format, options, folder); });
}

std::vector<ComputeType> LlmTrainEngine::ComputeTypes() const {
  const bool bf16 = llm::Resolve({.threads = options_.threads,
                                  .compute_type = options_.compute_type,
                                  .weights = options_.weights})
                        .bf16();
  if (!bf16) return {ComputeType::kFloat32};
  if (options_.compute_type == llm::ComputeType::kBf16) return {ComputeType::kBfloat16};
  return {ComputeType::kBfloat16, ComputeType::kFloat32};  // a job's float32 is an order
}

int64_t LlmTrainEngine::PeakMemory() { return PeakMemoryBytes(); }

}  // namespace crossover::worker
