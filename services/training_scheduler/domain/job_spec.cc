#include "services/training_scheduler/domain/job_spec.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/training_scheduler/domain/suffix.h"

namespace crossover::scheduler {
namespace {

const std::vector<std::string>& AllLinears() {
  static const std::vector<std::string>* const names = new std::vector<std::string>{
      "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  return *names;
}

class RangeChecker {
 public:
  void Integer(const char* field, const std::optional<int64_t>& value, int64_t low, int64_t high) {
    if (!value.has_value() || (*value >= low && *value <= high)) return;
    Add(field,
        absl::StrFormat("is %d; must be between %d and %d, or absent for auto", *value, low, high));
  }
  void Number(const char* field, const std::optional<double>& value, double low, double high) {
    if (!value.has_value() || (*value >= low && *value <= high)) return;
    Add(field,
        absl::StrFormat("is %g; must be between %g and %g, or absent for auto", *value, low, high));
  }
  void Positive(const char* field, const std::optional<double>& value, double high) {
    if (!value.has_value() || (*value > 0 && *value <= high)) return;
    Add(field, absl::StrFormat("is %g; must be greater than 0 and at most %g, or absent for auto",
                               *value, high));
  }
  void Add(const char* field, std::string description) {
    violations_.push_back({absl::StrCat("spec.training.", field), std::move(description)});
  }
  std::vector<FieldViolation> Take() { return std::move(violations_); }

 private:
  std::vector<FieldViolation> violations_;
};

bool IsDate(const std::string& text) {
  if (text.size() != 10) return false;
  for (int i = 0; i < 10; ++i) {
    const bool dash = i == 4 || i == 7;
    if (dash ? text[i] != '-' : (text[i] < '0' || text[i] > '9')) return false;
  }
  return true;
}

void CheckAdapter(const TrainingSpec& spec, RangeChecker& check) {
  check.Integer("adapter.r", spec.rank, 1, 512);
  check.Positive("adapter.alpha", spec.alpha, 4096);
  for (const std::string& name : spec.targets) {
    if (std::find(AllLinears().begin(), AllLinears().end(), name) == AllLinears().end()) {
      check.Add("adapter.targets", absl::StrCat("has '", name,
                                                "'; known are q_proj, k_proj, v_proj, o_proj, "
                                                "gate_proj, up_proj and down_proj"));
    }
  }
  const bool wsd = spec.schedule == Schedule::kWsd;
  for (FieldViolation& wrong : CheckTechniques(spec.techniques, wsd, !spec.initial_adapter.empty()))
    check.Add(wrong.field.c_str(), std::move(wrong.description));
}

void CheckOptimiser(const TrainingSpec& spec, RangeChecker& check) {
  check.Positive("learning_rate", spec.learning_rate, 1);
  check.Positive("learning_rate_multiplier", spec.learning_rate_multiplier, 100);
  check.Integer("warmup_steps", spec.warmup_steps, 0, 1'000'000'000);
  check.Number("warmup_ratio", spec.warmup_ratio, 0, 1);
  check.Number("weight_decay", spec.weight_decay, 0, 1);
  check.Number("adam_beta1", spec.adam_beta1, 0, 0.9999999);
  check.Number("adam_beta2", spec.adam_beta2, 0, 0.9999999);
  check.Positive("adam_epsilon", spec.adam_epsilon, 1);
  check.Number("max_grad_norm", spec.max_grad_norm, 0, 1000);
}

// Fills ResolvedSpec::sources while it chooses between what was given and the rule's value.
class Chooser {
 public:
  explicit Chooser(ResolvedSpec& resolved) : resolved_(resolved) {}
  template <typename T>
  T Choose(const char* field, const std::optional<T>& given, std::type_identity_t<T> automatic,
           std::string rule) {
    resolved_.sources[field] = {given.has_value(), given.has_value() ? "" : std::move(rule)};
    return given.value_or(automatic);
  }

 private:
  ResolvedSpec& resolved_;
};

void CheckObjective(const TrainingSpec& spec, Objective objective, RangeChecker& check) {
  check.Positive("preference_beta", spec.preference_beta, 2);
  check.Number("preference_label_smoothing", spec.preference_label_smoothing, 0, 0.49);
  check.Number("distil_weight", spec.distil_weight, 0, 1);
  check.Number("kl_weight", spec.kl_weight, 0, 10);
  const auto only = [&](const char* field, const std::optional<double>& value, bool fits,
                        const char* kinds) {
    if (value.has_value() && !fits) {
      check.Add(field, absl::StrCat("is set; only jobs of kind ", kinds, " take it"));
    }
  };
  const bool preference = objective == Objective::kPreference;
  only("preference_beta", spec.preference_beta, preference, "PREFERENCE");
  only("preference_label_smoothing", spec.preference_label_smoothing, preference, "PREFERENCE");
  only("distil_weight", spec.distil_weight, objective == Objective::kDistil, "DISTIL");
  only("kl_weight", spec.kl_weight, !preference,
       "SFT and DISTIL (a preference is against the base model already)");
  if (!spec.teacher_logits.empty()) {
    check.Add("teacher_logits",
              "is set; the teacher's distributions lie in the rows (`logprobs`): leave it empty");
  }
}

// Passes over supervised rows as in use elsewhere: Unsloth 1 to 3, LLaMA-Factory 3, Axolotl 4; few
// rows get more, and early stopping keeps the best of them. Preferences: alignment-handbook and TRL
// 1, Unsloth 3 for its small sets.
double AutoEpochs(int64_t rows, Objective objective) {
  if (objective == Objective::kPreference) return rows < 500 ? 3 : 1;
  return rows < 500 ? 4 : rows < 2000 ? 3 : 2;
}

// tinker-cookbook's get_lr: 5e-5 × 10 (LoRA against full tuning) × (2000/hidden)^p, p = 0.781 for
// llama and 0.0775 for qwen. Runs of under 100 steps take 15 times the full-tuning rate instead of
// 10 (Schulman et al., "LoRA Without Regret", thinkingmachines.ai/blog/lora). A preference takes a
// fortieth of it (5e-6 against 2e-4 in Unsloth's and alignment-handbook's recipes for one model):
// its loss is flat where the answers already differ, and a large step ruins both. Capped, for small
// models: above 1e-3 short runs diverge.
double AutoLearningRate(const BaseFacts& base, const ResolvedSpec& spec) {
  const double power = base.architecture.rfind("qwen", 0) == 0 ? 0.0775 : 0.781;
  const double hidden = base.hidden_size > 0 ? static_cast<double>(base.hidden_size) : 2000.0;
  const double factor = spec.steps < 100 ? 1.5 : 1.0;
  const double supervised = std::min(1e-3, factor * 5e-4 * std::pow(2000.0 / hidden, power));
  return spec.objective == Objective::kPreference ? supervised / 40 : supervised;
}

// Needs steps.
void ResolveLearningRate(const TrainingSpec& spec, const BaseFacts& base, Chooser& choose,
                         ResolvedSpec& out) {
  const double automatic =
      AutoLearningRate(base, out) * spec.learning_rate_multiplier.value_or(1.0);
  std::string rule =
      absl::StrFormat("min(1e-3, %s5e-4 × (2000/%d)^p)%s, p by architecture %s",
                      out.steps < 100 ? "1.5 (under 100 steps) × " : "", base.hidden_size,
                      out.objective == Objective::kPreference ? " / 40" : "", base.architecture);
  if (spec.learning_rate_multiplier.has_value()) {
    absl::StrAppend(&rule, ", × learning_rate_multiplier ", *spec.learning_rate_multiplier);
  }
  out.learning_rate = choose.Choose("learning_rate", spec.learning_rate, automatic, rule);
  out.schedule = choose.Choose("schedule", spec.schedule, Schedule::kCosine, "cosine to zero");
}

// The rate's optimum hardly depends on the rank when the scale is 32/rank ("LoRA Without Regret"),
// so a given rank does not ask for another rate. alpha/sqrt(r) of rsLoRA starts at the same scale
// for rank 16.
void ResolveFreshAdapter(const TrainingSpec& spec, Chooser& choose, ResolvedSpec& out) {
  out.rank = choose.Choose("adapter.r", spec.rank, 16,
                           "start with 16; raise it only when training underfits");
  out.rank_stabilised =
      choose.Choose("adapter.rank_stabilised", spec.rank_stabilised, false, "alpha / r");
  out.alpha = choose.Choose("adapter.alpha", spec.alpha, out.rank_stabilised ? 8 : 32,
                            out.rank_stabilised ? "8, so that the scale of rank 16 is 2"
                                                : "32 for every rank, so that one rate fits all");
  out.targets = spec.targets.empty() ? AllLinears() : spec.targets;
  out.sources["adapter.targets"] = {!spec.targets.empty(),
                                    "all seven linears: the MLP's matter most"};
}

// An adapter goes on in its own form: in no other could it be loaded.
void ResolveContinuedAdapter(const TrainingSpec& spec, const AdapterForm& form, Chooser& choose,
                             ResolvedSpec& out) {
  constexpr char kRule[] = "as in the adapter that the job goes on from";
  out.rank = choose.Choose("adapter.r", spec.rank, form.rank, kRule);
  out.rank_stabilised =
      choose.Choose("adapter.rank_stabilised", spec.rank_stabilised, form.rank_stabilised, kRule);
  out.alpha = choose.Choose("adapter.alpha", spec.alpha, form.alpha, kRule);
  out.targets = spec.targets.empty() ? form.targets : spec.targets;
  out.sources["adapter.targets"] = {!spec.targets.empty(), kRule};
  ResolvedTechniques& techniques = out.techniques;
  const auto take = [&](const char* field, bool given, auto& to, const auto& of_form) {
    if (!given) to = of_form;
    out.sources[field] = {given, given ? "" : kRule};
  };
  const TechniqueSpec& asked = spec.techniques;
  const std::vector<int32_t> layers = form.all_layers ? std::vector<int32_t>() : form.layers;
  take("adapter.layers", !asked.layers.empty(), techniques.layers, layers);
  take("adapter.rank_pattern", !asked.rank_pattern.empty(), techniques.rank_pattern,
       form.rank_pattern);
  // One alpha that is given is that of all modules.
  const bool own_alpha = spec.alpha.has_value() || !asked.alpha_pattern.empty();
  take("adapter.alpha_pattern", own_alpha, techniques.alpha_pattern, form.alpha_pattern);
  take("adapter.dora", asked.dora.has_value(), techniques.dora, form.dora);
}

void ResolveObjective(const TrainingSpec& spec, Chooser& choose, ResolvedSpec& out) {
  if (out.objective == Objective::kPreference) {
    out.preference_beta = choose.Choose("preference_beta", spec.preference_beta, 0.1,
                                        "0.1, as in the DPO paper and TRL");
    out.preference_label_smoothing = choose.Choose(
        "preference_label_smoothing", spec.preference_label_smoothing, 0.0, "pairs are trusted");
    return;
  }
  if (out.objective == Objective::kDistil) {
    out.distil_weight =
        choose.Choose("distil_weight", spec.distil_weight, 0.5, "half the teacher, half the data");
  }
  out.kl_weight = choose.Choose("kl_weight", spec.kl_weight, 0.0, "no pull to the base model");
}

void ResolveRows(const TrainingSpec& spec, const DatasetFacts& data, Chooser& choose,
                 ResolvedSpec& out) {
  out.max_rows = spec.max_rows.value_or(0);
  out.train_rows = out.max_rows > 0 ? std::min(data.train_rows, out.max_rows) : data.train_rows;
  out.validation_rows = data.validation_rows;
  out.validation_fraction = 0;
  if (data.validation_rows > 0) return;
  out.validation_fraction =
      choose.Choose("validation_fraction", spec.validation_fraction, 0.1,
                    "the version has no validation split: a tenth of its train rows is set aside");
  // The worker validates on so many rows at most, and trains on the rest.
  constexpr int64_t kMostValidationRows = 64;
  out.validation_rows =
      std::min<int64_t>(std::llround(out.validation_fraction * static_cast<double>(out.train_rows)),
                        kMostValidationRows);
  out.train_rows -= out.validation_rows;
}

void DescribeTechniques(const TechniqueSpec& spec, ResolvedSpec& out) {
  const auto describe = [&](const char* field, bool given, const char* rule) {
    out.sources[field] = {given, given ? "" : rule};
  };
  describe("adapter.dropout", spec.dropout.has_value(),
           "off: rows are few and the loss is watched on validation rows instead");
  describe("adapter.layers", !spec.layers.empty(), "all layers");
  describe("adapter.rank_pattern", !spec.rank_pattern.empty(), "one rank for all");
  describe("adapter.alpha_pattern", !spec.alpha_pattern.empty(), "one alpha for all");
  describe("adapter.dora", spec.dora.has_value(), "off: a third more time for most rows");
  describe("adapter.initial", spec.initial.has_value(), "uniform A, zero B");
  if (out.schedule == Schedule::kWsd)
    describe("decay_share", spec.decay_share.has_value(), "a fifth of the steps");
  describe("lora_plus_ratio", spec.lora_plus_ratio.has_value(), "one rate for A and B");
  describe("embedding_noise", spec.embedding_noise.has_value(), "off");
  describe("activations", spec.activations.has_value(), "by the memory that is left");
}

// Needs epochs, batch size and rows. Warm-up between Unsloth's 5 steps and the tenth of Axolotl and
// LLaMA-Factory; evaluation and patience as language-model trainers commonly have them: every
// quarter of an epoch, the best kept.
void ResolveSteps(const TrainingSpec& spec, Chooser& choose, ResolvedSpec& out) {
  const int64_t steps_an_epoch =
      std::max<int64_t>(1, (out.train_rows + out.batch_size - 1) / out.batch_size);
  out.max_steps = spec.max_steps.value_or(0);
  // As the trainer does it (llm::RowOrder): a step that is begun is done.
  const double steps = std::ceil(out.epochs * static_cast<double>(steps_an_epoch) - 1e-9);
  out.steps = std::max<int64_t>(1, static_cast<int64_t>(steps));
  if (out.max_steps > 0) out.steps = std::min(out.steps, out.max_steps);

  const double share = choose.Choose("warmup_ratio", spec.warmup_ratio, 0.05, "5 % of the steps");
  out.warmup_steps =
      choose.Choose("warmup_steps", spec.warmup_steps,
                    static_cast<int64_t>(std::ceil(share * static_cast<double>(out.steps))),
                    "warmup_ratio of the steps");
  out.checkpoint_every =
      choose.Choose("checkpoint_every", spec.checkpoint_every,
                    std::max<int64_t>(10, out.steps / 10), "a tenth of the steps, at least 10");
  out.eval_every = choose.Choose("eval_every", spec.eval_every,
                                 std::max<int64_t>(1, steps_an_epoch / 4), "four times an epoch");
  out.early_stop_patience = choose.Choose(
      "early_stop_patience", spec.early_stop_patience, out.validation_rows > 0 ? 3 : 0,
      "stop after 3 evaluations without a better validation loss; never without validation rows");
}

}  // namespace

std::vector<FieldViolation> CheckRanges(const TrainingSpec& spec, Objective objective) {
  constexpr int64_t kMany = 1'000'000'000;
  RangeChecker check;
  CheckAdapter(spec, check);
  CheckOptimiser(spec, check);
  CheckObjective(spec, objective, check);
  check.Integer("batch_size", spec.batch_size, 1, 256);
  check.Positive("epochs", spec.epochs, 50);
  check.Integer("max_steps", spec.max_steps, 0, kMany);
  check.Integer("max_length", spec.max_length, 16, 1 << 20);
  check.Integer("seed", spec.seed, 0, 2147483647);
  check.Integer("checkpoint_every", spec.checkpoint_every, 1, kMany);
  check.Integer("eval_every", spec.eval_every, 1, kMany);
  check.Integer("early_stop_patience", spec.early_stop_patience, 0, 1000);
  check.Number("validation_fraction", spec.validation_fraction, 0, 0.5);
  check.Integer("tokens_per_sequence", spec.tokens_per_sequence, 64, 1 << 20);
  if (spec.max_rows.value_or(0) != 0)
    check.Integer("max_rows", spec.max_rows, kMinTrainRows, kMany);
  if (!IsSuffix(spec.suffix)) {
    check.Add("suffix", absl::StrCat("is '", spec.suffix, "'; must be 1 to ", kLongestSuffix,
                                     " characters, none of them a control character"));
  }
  if (!spec.template_date.empty() && !IsDate(spec.template_date)) {
    check.Add("template_date", absl::StrCat("is '", spec.template_date, "'; must be YYYY-MM-DD"));
  }
  return check.Take();
}

ResolvedSpec Resolve(const TrainingSpec& spec, const BaseFacts& base, const DatasetFacts& data,
                     Objective objective) {
  ResolvedSpec out;
  Chooser choose(out);
  out.objective = objective;
  out.suffix = SuffixSlug(spec.suffix);
  out.initial_adapter = base.initial_adapter;
  out.tokenizer_digest = base.tokenizer_digest;
  out.template_digest = base.template_digest;
  out.template_date = spec.template_date.empty() ? kDefaultTemplateDate : spec.template_date;
  out.sources["template_date"] = {!spec.template_date.empty(),
                                  "what serving shows when a request names no date"};
  ResolveRows(spec, data, choose, out);
  out.epochs = choose.Choose("epochs", spec.epochs, AutoEpochs(out.train_rows, objective),
                             objective == Objective::kPreference
                                 ? "3 below 500 pairs, else 1"
                                 : "4 below 500 rows, 3 below 2,000, else 2");
  // "LoRA Without Regret": LoRA suffers from large batches more than full tuning; under 32.
  out.batch_size = choose.Choose("batch_size", spec.batch_size, 8, "8 rows a step");
  ResolveSteps(spec, choose, out);
  ResolveLearningRate(spec, base, choose, out);
  ResolveFreshAdapter(spec, choose, out);
  ResolveObjective(spec, choose, out);
  const int64_t context = base.context_length > 0 ? base.context_length : 2048;
  out.max_length = choose.Choose("max_length", spec.max_length, context, "the model's context");
  out.tokens_per_sequence =
      choose.Choose("tokens_per_sequence", spec.tokens_per_sequence, 2048, "2,048 tokens a pack");
  out.packing = choose.Choose("packing", spec.packing, Packing::kSharedPrefix,
                              "packed, a common prefix computed once where it pays");
  out.loss_on = spec.loss_on;
  out.compute_type =
      choose.Choose("compute_type", spec.compute_type, ComputeType::kBfloat16, "bfloat16");
  out.weight_decay = choose.Choose("weight_decay", spec.weight_decay, 0.01, "0.01");
  out.adam_beta1 = choose.Choose("adam_beta1", spec.adam_beta1, 0.9, "0.9");
  out.adam_beta2 = choose.Choose("adam_beta2", spec.adam_beta2, 0.999, "0.999");
  out.adam_epsilon = choose.Choose("adam_epsilon", spec.adam_epsilon, 1e-8, "1e-8");
  out.max_grad_norm = choose.Choose("max_grad_norm", spec.max_grad_norm, 1.0, "clip at 1");
  out.techniques = ResolveTechniques(spec.techniques);
  DescribeTechniques(spec.techniques, out);
  if (base.initial_form.has_value()) ResolveContinuedAdapter(spec, *base.initial_form, choose, out);
  out.seed =
      choose.Choose("seed", spec.seed, 42, "the same for every job: equal specs, equal adapters");
  return out;
}

}  // namespace crossover::scheduler
