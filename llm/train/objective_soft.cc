#include "llm/train/objective_soft.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>

#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

// Chunks are smaller than those of the plain loss: a few fp32 copies of the logits exist at once.
constexpr int64_t kSoftChunk = 64;

// The teacher's distribution as the loss takes it.
struct Teacher {
  std::vector<double> probabilities;  // of its k tokens
  double rest = 0;                    // of all others
};

Teacher Probabilities(const TeacherToken& token) {
  Teacher teacher;
  double sum = 0;
  for (const float value : token.log_probabilities) {
    teacher.probabilities.push_back(std::exp(static_cast<double>(value)));
    sum += teacher.probabilities.back();
  }
  // Printed log-probabilities are rounded, so their sum may pass 1.
  if (sum > 1) {
    for (double& value : teacher.probabilities) value /= sum;
  }
  teacher.rest = std::max(0.0, 1 - sum);
  return teacher;
}

double Term(double q, double log_p) { return q > 0 ? q * (std::log(q) - log_p) : 0; }

// Adds the gradient of `weight` * KL(teacher || p) but for its term weight * p. Returns the
// divergence.
double AddTeacher(const TeacherToken& token, double weight, const at::Tensor& log_p,
                  at::Tensor gradient, at::Tensor& rest) {
  const Teacher teacher = Probabilities(token);
  const float* values = log_p.data_ptr<float>();
  float* slopes = gradient.data_ptr<float>();
  double divergence = 0;
  for (size_t k = 0; k < token.ids.size(); ++k) {
    const double q = teacher.probabilities[k];
    divergence += Term(q, values[token.ids[k]]);
    slopes[token.ids[k]] -= static_cast<float>(weight * q);
  }
  const bool others_exist = static_cast<int64_t>(token.ids.size()) < log_p.size(0);
  if (teacher.rest == 0 || !others_exist) return divergence;
  rest.copy_(log_p);
  float* others = rest.data_ptr<float>();
  for (const int32_t id : token.ids) others[id] = -std::numeric_limits<float>::infinity();
  const double log_rest = at::logsumexp(rest, 0).item().toDouble();
  divergence += Term(teacher.rest, log_rest);
  rest.sub_(log_rest).exp_();  // p of each of the others, given that it is one of them
  gradient.sub_(rest, weight * teacher.rest);
  return divergence;
}

}  // namespace

SoftTargetObjective::SoftTargetObjective(const BaseModel& base, const TrainConfig& config)
    : base_(base),
      teacher_share_(config.objective == ObjectiveKind::kDistil ? config.distil_weight : 0),
      kl_weight_(config.kl_weight),
      head_(base.weights().head) {
  if (kl_weight_ > 0) reference_.emplace(base, Activations::Ranks{}, /*keep=*/false);
}

std::vector<TrainPack> SoftTargetObjective::Packs(Rows rows, const PackOptions& options) const {
  return PackRows(rows, options);
}

double SoftTargetObjective::TotalWeight(Rows rows) const { return llm::TotalWeight(rows); }

void SoftTargetObjective::Prepare(const TrainPack& pack) {
  if (reference_.has_value()) DecoderForward(base_, {}, pack.pack, *reference_);
}

LossResult SoftTargetObjective::Evaluate(Rows, const TrainPack& pack, const at::Tensor& hidden) {
  return head_.Evaluate(pack.entries, hidden);
}

void SoftTargetObjective::Turn(Rows rows, std::span<const LossEntry> chunk, double factor,
                               at::Tensor& logits, LossResult& result) {
  const int64_t count = static_cast<int64_t>(chunk.size());
  const at::Tensor log_p = at::log_softmax(logits.to(at::kFloat), 1);
  const at::Tensor best = log_p.argmax(1);
  at::Tensor gradient = log_p.exp();
  at::Tensor divergence, base_p;
  if (kl_weight_ > 0) {
    const at::Tensor log_q =
        at::log_softmax(head_.Logits(chunk, reference_->h_final).to(at::kFloat), 1);
    base_p = log_q.exp();
    divergence = (log_q - log_p).mul_(base_p).sum(1);
  }
  at::Tensor rest = teacher_share_ > 0 ? at::empty({log_p.size(1)}, log_p.options()) : at::Tensor();
  for (int64_t i = 0; i < count; ++i) {
    const LossEntry& entry = chunk[i];
    const std::vector<TeacherToken>& teachers = rows[entry.row]->teacher;
    const bool taught =
        teacher_share_ > 0 && !teachers.empty() && !teachers[entry.position].ids.empty();
    const double share = taught ? teacher_share_ : 0;
    const double weight = entry.weight * factor;
    at::Tensor row = gradient[i];
    row.mul_(weight * (1 + kl_weight_));  // The terms in p of all three parts.
    row.data_ptr<float>()[entry.target] -= static_cast<float>(weight * (1 - share));
    if (taught) {
      result.teacher_kl +=
          entry.weight * AddTeacher(teachers[entry.position], weight * share, log_p[i], row, rest);
      result.teacher_weight += entry.weight;
    }
    if (kl_weight_ > 0) {
      row.sub_(base_p[i], weight * kl_weight_);
      result.kl_to_base += entry.weight * divergence.data_ptr<float>()[i];
    }
    const double loss = -log_p[i].data_ptr<float>()[entry.target];
    result.weighted_loss += entry.weight * loss;
    result.weight += entry.weight;
    result.correct += best.data_ptr<int64_t>()[i] == entry.target ? 1 : 0;
    if (!std::isfinite(loss) && result.bad_row < 0) result.bad_row = entry.row;
  }
  result.tokens += count;
  logits.copy_(gradient);
}

LossResult SoftTargetObjective::Gradient(Rows rows, const TrainPack& pack, const at::Tensor& hidden,
                                         double factor, at::Tensor& d_hidden) {
  LossResult result;
  head_.ForEachChunk(
      pack.entries, hidden, kSoftChunk,
      [&](std::span<const LossEntry> chunk, at::Tensor& logits) {
        Turn(rows, chunk, factor, logits, result);
      },
      &d_hidden);
  return result;
}

}  // namespace crossover::llm
