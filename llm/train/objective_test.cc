// Preference, distillation and KL-to-base: losses and gradients against PyTorch's autograd in
// double precision, and what a training with them does.
#include "llm/train/objective.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <string>
#include <vector>

#include "common/status/error.h"
#include "common/testing/temp_dir.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/testing.h"
#include "llm/train/backward.h"
#include "llm/train/reference_model.h"

namespace crossover::llm {
namespace {

using ::testing::HasSubstr;

std::vector<int32_t> RandomIds(int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(at::randint(128, {1}).item().toInt());
  return ids;
}

void Append(std::vector<int32_t>& ids, std::vector<float>& weights, const std::vector<int32_t>& add,
            float weight) {
  ids.insert(ids.end(), add.begin(), add.end());
  weights.resize(ids.size(), weight);
}

// A system prompt that all share, a question, an answer and another answer.
std::vector<TrainRow> Pairs() {
  at::manual_seed(11);
  std::vector<TrainRow> rows;
  for (int i = 0; i < 5; ++i) {
    TrainRow row{.id = "row-" + std::to_string(i), .weight = 0.5f + 0.25f * static_cast<float>(i)};
    for (int t = 0; t < 20; ++t) row.ids.push_back(t % 7 + 3);
    Append(row.ids, row.token_weights, RandomIds(3 + i), 0);
    row.rejected_ids = row.ids;
    row.rejected_weights = row.token_weights;
    Append(row.ids, row.token_weights, RandomIds(4 + 2 * i), 1);
    Append(row.rejected_ids, row.rejected_weights, RandomIds(9 - i), 1);
    rows.push_back(std::move(row));
  }
  rows.push_back(rows[2]);                       // The same pair twice …
  std::swap(rows[5].ids, rows[5].rejected_ids);  // … with the answers changed over.
  std::swap(rows[5].token_weights, rows[5].rejected_weights);
  return rows;
}

// Every second trained token has a teacher that knows `k` tokens and some probability of the rest.
std::vector<TrainRow> TaughtRows(int64_t k) {
  std::vector<TrainRow> rows = Pairs();
  for (TrainRow& row : rows) {
    row.rejected_ids.clear();
    row.rejected_weights.clear();
    row.teacher.resize(row.ids.size());
    for (size_t t = 1; t < row.ids.size(); ++t) {
      if (row.token_weights[t] == 0 || t % 2 == 0) continue;
      const auto [values, ids] = at::log_softmax(at::randn({128}) * 3, 0).topk(k);
      for (int64_t i = 0; i < k; ++i) {
        row.teacher[t].ids.push_back(ids[i].item().toInt());
        row.teacher[t].log_probabilities.push_back(values[i].item().toFloat());
      }
    }
  }
  return rows;
}

std::vector<const TrainRow*> Pointers(const std::vector<TrainRow>& rows) {
  std::vector<const TrainRow*> pointers;
  for (const TrainRow& row : rows) pointers.push_back(&row);
  return pointers;
}

// log p of each trained token of a sequence, times its weight, summed.
at::Tensor LogProbability(const Reference& model, const std::vector<int32_t>& ids,
                          const std::vector<float>& weights) {
  const at::Tensor log_p = at::log_softmax(model.Logits(ids), 1);
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (size_t t = 1; t < ids.size(); ++t) {
    if (weights[t] != 0) sum = sum + weights[t] * log_p[static_cast<int64_t>(t) - 1][ids[t]];
  }
  return sum;
}

at::Tensor PreferenceLoss(const Reference& model, const Reference& base, const TrainRow& row,
                          const TrainConfig& config) {
  const auto ratio = [&](const std::vector<int32_t>& ids, const std::vector<float>& weights) {
    return LogProbability(model, ids, weights) - LogProbability(base, ids, weights).detach();
  };
  const at::Tensor margin =
      config.preference_beta *
      (ratio(row.ids, row.token_weights) - ratio(row.rejected_ids, row.rejected_weights));
  return -row.weight * ((1 - config.label_smoothing) * at::log_sigmoid(margin) +
                        config.label_smoothing * at::log_sigmoid(-margin));
}

// The teacher's part of one token's loss, from log p [vocabulary].
at::Tensor TeacherLoss(const TeacherToken& teacher, const at::Tensor& log_p) {
  at::Tensor known = at::zeros({}, at::kDouble), loss = at::zeros({}, at::kDouble);
  double rest = 1;
  for (size_t k = 0; k < teacher.ids.size(); ++k) {
    const double q = std::exp(static_cast<double>(teacher.log_probabilities[k]));
    loss = loss + q * (std::log(q) - log_p[teacher.ids[k]]);
    known = known + log_p[teacher.ids[k]].exp();
    rest -= q;
  }
  return loss + rest * (std::log(rest) - (1 - known).log());
}

at::Tensor SoftLoss(const Reference& model, const Reference& base, const TrainRow& row,
                    const TrainConfig& config) {
  const at::Tensor log_p = at::log_softmax(model.Logits(row.ids), 1);
  const at::Tensor log_q = at::log_softmax(base.Logits(row.ids), 1).detach();
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (size_t t = 1; t < row.ids.size(); ++t) {
    const double weight = row.weight * row.token_weights[t];
    if (weight == 0) continue;
    const int64_t at = static_cast<int64_t>(t) - 1;
    at::Tensor token = -log_p[at][row.ids[t]];
    if (config.objective == ObjectiveKind::kDistil && !row.teacher[t].ids.empty()) {
      token = (1 - config.distil_weight) * token +
              config.distil_weight * TeacherLoss(row.teacher[t], log_p[at]);
    }
    token = token + config.kl_weight * (log_q[at].exp() * (log_q[at] - log_p[at])).sum();
    loss = loss + weight * token;
  }
  return loss;
}

struct Got {
  LossResult sum;
  at::Tensor gradient;  // fp32, flat
};

Got Ours(const BaseModel& base, const LoraLayout& layout, const at::Tensor& values,
         const std::vector<TrainRow>& rows, const TrainConfig& config, const PackOptions& packing) {
  const c10::InferenceMode inference;
  LoraOperands operands(base, layout);
  operands.Assign(layout, {values.data_ptr<float>(), static_cast<size_t>(layout.size())});
  Activations activations(base, RanksOf(layout), true);
  DecoderBackward backward(base, layout);
  const std::unique_ptr<Objective> objective = MakeObjective(base, config);
  const std::vector<const TrainRow*> pointers = Pointers(rows);
  const double total = objective->TotalWeight(pointers);
  Got got{.sum = {}, .gradient = at::zeros({layout.size()})};
  for (const TrainPack& pack : objective->Packs(pointers, packing)) {
    objective->Prepare(pack);
    DecoderForward(base, operands.blocks(), pack.pack, activations);
    got.sum.Add(
        objective->Gradient(pointers, pack, activations.h_final, 1 / total, activations.delta));
    backward.Run(pack.pack, operands, activations, activations.delta,
                 {got.gradient.data_ptr<float>(), static_cast<size_t>(layout.size())});
  }
  return got;
}

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).norm() / want.norm()).item().toDouble();
}

struct Comparison {
  LossResult sum;
  double loss_error = 0;      // of the reported loss
  double gradient_error = 0;  // the worst of all A and B
};

// `reported`: what weighted_loss holds, `minimised`: what the gradient is of.
template <typename Loss, typename Reported>
Comparison Compare(ComputeType type, const std::vector<TrainRow>& rows, const TrainConfig& config,
                   const PackOptions& packing, const Loss& minimised, const Reported& reported) {
  const auto base = TinyModel(type);
  const LoraLayout layout =
      LoraLayout::Uniform(base->config(), {kAllTargets.begin(), kAllTargets.end()}, 4, 2.0);
  at::manual_seed(3);
  const at::Tensor values = at::randn({layout.size()}) * 0.1;  // B is not zero either.
  at::Tensor leaf = values.to(at::kDouble).requires_grad_(true);
  const Reference model(*base, layout, leaf);
  const Reference plain(*base, layout, at::zeros_like(values, at::kDouble));
  const double total = MakeObjective(*base, config)->TotalWeight(Pointers(rows));
  at::Tensor loss = at::zeros({}, at::kDouble), report = at::zeros({}, at::kDouble);
  for (const TrainRow& row : rows) {
    loss = loss + minimised(model, plain, row, config) / total;
    report = report + reported(model, plain, row, config);
  }
  const at::Tensor want = torch::autograd::grad({loss}, {leaf})[0];
  const Got got = Ours(*base, layout, values, rows, config, packing);
  Comparison result{.sum = got.sum};
  result.loss_error = std::abs(got.sum.weighted_loss / report.item().toDouble() - 1);
  for (const LoraMatrix& m : layout.matrices()) {
    for (const auto& [offset, size] :
         {std::pair{m.a_offset, m.a_size()}, {m.b_offset, m.b_size()}}) {
      result.gradient_error = std::max(
          result.gradient_error,
          RelativeError(got.gradient.narrow(0, offset, size), want.narrow(0, offset, size)));
    }
  }
  return result;
}

const PackOptions kWhole{.max_tokens = 2000, .share_prefix = false};
const PackOptions kShared{.max_tokens = 2000, .min_shared_prefix = 4};
const PackOptions kSmall{.max_tokens = 70, .min_shared_prefix = 4};
const PackOptions kPairs{.max_tokens = 1, .share_prefix = false};

Comparison ComparePreference(const TrainConfig& config, const PackOptions& packing,
                             ComputeType type = ComputeType::kFp32) {
  return Compare(type, Pairs(), config, packing, PreferenceLoss, PreferenceLoss);
}

TrainConfig PreferenceConfig() {
  return {.objective = ObjectiveKind::kPreference, .preference_beta = 0.4};
}

TEST(PreferenceTest, LossAndEveryGradientEqualAutograd) {
  for (const PackOptions& packing : {kWhole, kShared, kSmall, kPairs}) {
    const Comparison result = ComparePreference(PreferenceConfig(), packing);
    EXPECT_LT(result.loss_error, 1e-6);
    EXPECT_LT(result.gradient_error, 1e-5);
  }
}

TEST(PreferenceTest, LabelSmoothingEqualsAutograd) {
  TrainConfig config = PreferenceConfig();
  config.label_smoothing = 0.2;
  const Comparison result = ComparePreference(config, kShared);
  EXPECT_LT(result.loss_error, 1e-6);
  EXPECT_LT(result.gradient_error, 1e-5);
}

TEST(PreferenceTest, Bf16StaysWithinItsRounding) {
  const Comparison result = ComparePreference(PreferenceConfig(), kShared, ComputeType::kBf16);
  EXPECT_LT(result.loss_error, 0.02);
  EXPECT_LT(result.gradient_error, 0.15);
}

TEST(PreferenceTest, APairLiesInOnePackAndLogitsExistForAnswersOnly) {
  const std::vector<TrainRow> rows = Pairs();
  const auto base = TinyModel();
  const auto objective = MakeObjective(*base, PreferenceConfig());
  const auto packs = objective->Packs(Pointers(rows), kSmall);
  EXPECT_GT(packs.size(), 1u);
  size_t entries = 0, answers = 0;
  std::vector<int> chosen(rows.size(), -1), rejected(rows.size(), -1);
  for (int p = 0; p < static_cast<int>(packs.size()); ++p) {
    entries += packs[p].entries.size();
    for (const LossEntry& entry : packs[p].entries) {
      int& place = (entry.rejected ? rejected : chosen)[entry.row];
      EXPECT_TRUE(place == -1 || place == p);
      place = p;
      const TrainRow& row = rows[entry.row];
      EXPECT_EQ(entry.target, (entry.rejected ? row.rejected_ids : row.ids)[entry.position]);
    }
  }
  EXPECT_EQ(chosen, rejected);
  for (const TrainRow& row : rows) {
    for (const auto* weights : {&row.token_weights, &row.rejected_weights}) {
      for (const float weight : *weights) answers += weight > 0 ? 1 : 0;
    }
  }
  EXPECT_EQ(entries, answers);
}

TrainConfig SoftConfig(ObjectiveKind kind, double distil_weight, double kl_weight) {
  return {.objective = kind, .distil_weight = distil_weight, .kl_weight = kl_weight};
}

// What a run reports is the cross-entropy, whatever it minimises.
at::Tensor CrossEntropy(const Reference& model, const Reference&, const TrainRow& row,
                        const TrainConfig&) {
  return model.WeightedLoss(row);
}

TEST(SoftTargetTest, TeacherAndBaseGradientsEqualAutograd) {
  using enum ObjectiveKind;
  for (const TrainConfig& config :
       {SoftConfig(kDistil, 0.5, 0), SoftConfig(kDistil, 1, 0), SoftConfig(kSupervised, 0, 0.3),
        SoftConfig(kDistil, 0.7, 0.5)}) {
    for (const PackOptions& packing : {kWhole, kShared, kSmall}) {
      const Comparison result =
          Compare(ComputeType::kFp32, TaughtRows(6), config, packing, SoftLoss, CrossEntropy);
      EXPECT_LT(result.loss_error, 1e-6);
      EXPECT_LT(result.gradient_error, 1e-5)
          << "distil " << config.distil_weight << " kl " << config.kl_weight;
    }
  }
}

TEST(SoftTargetTest, ATeacherOfOneTokenAndOneOfTheWholeVocabularyWork) {
  const TrainConfig config = SoftConfig(ObjectiveKind::kDistil, 0.5, 0);
  const Comparison one =
      Compare(ComputeType::kFp32, TaughtRows(1), config, kShared, SoftLoss, CrossEntropy);
  EXPECT_LT(one.gradient_error, 1e-5);
  const auto base = TinyModel();
  const LoraLayout layout = LoraLayout::Uniform(base->config(), {Target::kQ}, 4, 2.0);
  const Got all = Ours(*base, layout, at::zeros({layout.size()}), TaughtRows(128), config, kShared);
  EXPECT_TRUE(std::isfinite(all.sum.teacher_kl));
  EXPECT_GT(all.sum.teacher_kl, 0);
}

TEST(SoftTargetTest, Bf16StaysWithinItsRounding) {
  const Comparison result =
      Compare(ComputeType::kBf16, TaughtRows(6), SoftConfig(ObjectiveKind::kDistil, 0.5, 0.3),
              kShared, SoftLoss, CrossEntropy);
  EXPECT_LT(result.loss_error, 0.01);
  EXPECT_LT(result.gradient_error, 0.15);
}

TEST(SoftTargetTest, WithoutATeacherAndWithoutKlItIsTheCrossEntropy) {
  std::vector<TrainRow> rows = TaughtRows(6);
  for (TrainRow& row : rows) row.teacher.assign(row.ids.size(), {});
  const auto base = TinyModel();
  const LoraLayout layout = LoraLayout::Uniform(base->config(), {Target::kQ, Target::kDown}, 4, 2);
  at::manual_seed(3);
  const at::Tensor values = at::randn({layout.size()}) * 0.1;
  const Got soft =
      Ours(*base, layout, values, rows, SoftConfig(ObjectiveKind::kDistil, 0.5, 0), kShared);
  const Got plain = Ours(*base, layout, values, rows, {}, kShared);
  EXPECT_NEAR(soft.sum.weighted_loss, plain.sum.weighted_loss, 1e-5 * plain.sum.weighted_loss);
  EXPECT_LT(RelativeError(soft.gradient, plain.gradient.to(at::kDouble)), 1e-5);
  EXPECT_EQ(soft.sum.correct, plain.sum.correct);
}

class ObjectiveTrainingTest : public ::testing::Test {
 protected:
  // The preferred answer is a function of the key, the rejected one of another key.
  static std::vector<TrainRow> Rows(int n) {
    std::vector<TrainRow> rows;
    for (int i = 0; i < n; ++i) {
      TrainRow row{.id = "row-" + std::to_string(i)};
      std::vector<int32_t> prompt;
      for (int t = 0; t < 20; ++t) prompt.push_back(t % 5);
      const int key = i * 5 % 8;
      prompt.push_back(20 + key);
      const auto answer = [](int k) {
        return std::vector<int32_t>{60 + k * 3 % 11, 60 + (k * 3 + 1) % 11, 60 + (k * 3 + 2) % 11};
      };
      Append(row.ids, row.token_weights, prompt, 0);
      row.rejected_ids = row.ids;
      row.rejected_weights = row.token_weights;
      Append(row.ids, row.token_weights, answer(key), 1);
      Append(row.rejected_ids, row.rejected_weights, answer(key + 1), 1);
      rows.push_back(std::move(row));
    }
    return rows;
  }

  static TrainConfig Config(ObjectiveKind kind) {
    return {.rank = 8,
            .alpha = 16,
            .learning_rate = 0.01,
            .warmup_steps = 2,
            .epochs = 4,
            .seed = 5,
            .objective = kind};
  }

  std::unique_ptr<Trainer> Make(const TrainConfig& config, std::vector<TrainRow> rows,
                                std::vector<TrainRow> validation = {}) {
    auto trainer = Trainer::Create(base_, config, std::move(rows), std::move(validation));
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    return *std::move(trainer);
  }

  std::string Reason(const TrainConfig& config, std::vector<TrainRow> rows) {
    const absl::Status status = Trainer::Create(base_, config, std::move(rows), {}).status();
    message_ = std::string(status.message());
    return DetailOf(status).reason;
  }

  crossover::testing::TempDir folder_;
  std::string message_;
  std::shared_ptr<const BaseModel> base_ = TinyModel();
};

TEST_F(ObjectiveTrainingTest, PreferenceStartsAtLogTwoAndLearnsTheOrder) {
  const auto trainer = Make(Config(ObjectiveKind::kPreference), Rows(48), Rows(16));
  const auto before = trainer->Evaluate();
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_NEAR(before->loss, std::log(2.0), 1e-6);
  EXPECT_EQ(before->objective.reward_margin, 0);
  EXPECT_EQ(before->trained_tokens, 16 * 3);
  std::vector<StepReport> reports;
  ASSERT_TRUE(trainer
                  ->Run([&](const StepReport& report) {
                    reports.push_back(report);
                    return StepDecision::kContinue;
                  })
                  .ok());
  EXPECT_EQ(reports[0].tokens, 8 * 2 * 24);
  EXPECT_EQ(reports[0].trained_tokens, 8 * 2 * 3);
  EXPECT_LT(reports[0].computed_tokens, reports[0].tokens / 2);
  const auto after = trainer->Evaluate();
  EXPECT_LT(after->loss, 0.3);
  EXPECT_EQ(after->objective.reward_accuracy, 1);
  EXPECT_GT(after->objective.reward_margin, 1);
  EXPECT_GT(reports.back().objective.reward_margin, 1);
}

TEST_F(ObjectiveTrainingTest, KlWeightKeepsTheAdapterNearTheBase) {
  const auto kl = [&](double weight) {
    TrainConfig config = Config(ObjectiveKind::kSupervised);
    config.kl_weight = weight;
    double last = 0;
    EXPECT_TRUE(Make(config, Rows(48))
                    ->Run([&](const StepReport& report) {
                      last = report.objective.kl_to_base;
                      return StepDecision::kContinue;
                    })
                    .ok());
    return last;
  };
  const double loose = kl(1e-6), tight = kl(3);
  EXPECT_GT(loose, 1);
  EXPECT_LT(tight, loose / 3);
}

TEST_F(ObjectiveTrainingTest, DistillationApproachesItsTeacher) {
  std::vector<TrainRow> rows = Rows(48);
  for (TrainRow& row : rows) {  // The teacher is sure of half of it, and never of the data's token.
    row.teacher.resize(row.ids.size());
    for (size_t t = row.ids.size() - 3; t < row.ids.size(); ++t) {
      row.teacher[t] = {{100, 101}, {std::log(0.6f), std::log(0.3f)}};
    }
  }
  TrainConfig config = Config(ObjectiveKind::kDistil);
  config.distil_weight = 1;
  std::vector<double> kl;
  ASSERT_TRUE(Make(config, rows)
                  ->Run([&](const StepReport& report) {
                    kl.push_back(report.objective.teacher_kl);
                    return StepDecision::kContinue;
                  })
                  .ok());
  EXPECT_GT(kl.front(), 1);
  EXPECT_LT(kl.back(), 0.1);
}

TEST_F(ObjectiveTrainingTest, ResumedRunsHaveTheBytesOfUninterruptedOnes) {
  for (const ObjectiveKind kind : {ObjectiveKind::kPreference, ObjectiveKind::kSupervised}) {
    TrainConfig config = Config(kind);
    if (kind == ObjectiveKind::kSupervised) config.kl_weight = 0.2;
    const std::string name = std::to_string(static_cast<int>(kind));
    const auto path = [&](const char* what) { return (folder_ / (what + name)).string(); };
    const auto whole = Make(config, Rows(30));
    ASSERT_TRUE(whole->Run(nullptr).ok());
    ASSERT_TRUE(whole->SaveCheckpoint(path("whole")).ok());
    const auto first = Make(config, Rows(30));
    ASSERT_TRUE(first
                    ->Run([](const StepReport& report) {
                      return report.step == 5 ? StepDecision::kStop : StepDecision::kContinue;
                    })
                    .ok());
    ASSERT_TRUE(first->SaveCheckpoint(path("first")).ok());
    const auto second = Make(config, Rows(30));
    ASSERT_TRUE(second->Resume(path("first")).ok());
    ASSERT_TRUE(second->Run(nullptr).ok());
    ASSERT_TRUE(second->SaveCheckpoint(path("resumed")).ok());
    EXPECT_EQ(crossover::testing::ReadFile(path("whole") + "/state.safetensors"),
              crossover::testing::ReadFile(path("resumed") + "/state.safetensors"));
  }
}

TEST_F(ObjectiveTrainingTest, RowsThatLackWhatTheObjectiveNeedsAreNamed) {
  std::vector<TrainRow> rows = Rows(4);
  rows[2].rejected_ids.clear();
  rows[2].rejected_weights.clear();
  EXPECT_EQ(Reason(Config(ObjectiveKind::kPreference), rows), "ROW_WITHOUT_REJECTED");
  EXPECT_THAT(message_, HasSubstr("row-2"));
  EXPECT_EQ(Reason(Config(ObjectiveKind::kSupervised), rows), "");
  EXPECT_EQ(Reason(Config(ObjectiveKind::kDistil), rows), "ROW_WITHOUT_TEACHER");
  rows = Rows(4);
  rows[1].rejected_weights.assign(rows[1].rejected_ids.size(), 0.0f);
  EXPECT_EQ(Reason(Config(ObjectiveKind::kPreference), rows), "ROW_WITHOUT_TRAINED_TOKEN");
  EXPECT_THAT(message_, HasSubstr("rejected answer"));
  TrainConfig config = Config(ObjectiveKind::kPreference);
  config.kl_weight = 0.1;
  EXPECT_EQ(Reason(config, Rows(4)), "BAD_TRAIN_CONFIG");
}

}  // namespace
}  // namespace crossover::llm
