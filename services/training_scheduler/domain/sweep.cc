#include "services/training_scheduler/domain/sweep.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace crossover::scheduler {
namespace {

using Setter = std::function<bool(TrainingSpec&, const std::string&)>;

// A JSON number, whole.
template <typename T>
std::optional<T> Number(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <typename T>
Setter Sets(std::optional<T> TrainingSpec::* field) {
  return [field](TrainingSpec& spec, const std::string& text) {
    spec.*field = Number<T>(text);
    return (spec.*field).has_value();
  };
}

bool SetSchedule(TrainingSpec& spec, const std::string& text) {
  if (text == "\"CONSTANT\"") spec.schedule = Schedule::kConstant;
  if (text == "\"LINEAR\"") spec.schedule = Schedule::kLinear;
  if (text == "\"COSINE\"") spec.schedule = Schedule::kCosine;
  if (text == "\"WSD\"") spec.schedule = Schedule::kWsd;
  return spec.schedule.has_value();
}

bool SetStabilised(TrainingSpec& spec, const std::string& text) {
  if (text != "true" && text != "false") return false;
  spec.rank_stabilised = text == "true";
  return true;
}

// preference_beta is not here: losses of different betas cannot be compared.
const std::map<std::string, Setter>& Setters() {
  static const auto* const setters = new std::map<std::string, Setter>{
      {"adapter.alpha", Sets(&TrainingSpec::alpha)},
      {"adapter.r", Sets(&TrainingSpec::rank)},
      {"adapter.rank_stabilised", &SetStabilised},
      {"adam_beta2", Sets(&TrainingSpec::adam_beta2)},
      {"batch_size", Sets(&TrainingSpec::batch_size)},
      {"distil_weight", Sets(&TrainingSpec::distil_weight)},
      {"epochs", Sets(&TrainingSpec::epochs)},
      {"kl_weight", Sets(&TrainingSpec::kl_weight)},
      {"learning_rate", Sets(&TrainingSpec::learning_rate)},
      {"learning_rate_multiplier", Sets(&TrainingSpec::learning_rate_multiplier)},
      {"max_grad_norm", Sets(&TrainingSpec::max_grad_norm)},
      {"schedule", &SetSchedule},
      {"seed", Sets(&TrainingSpec::seed)},
      {"warmup_ratio", Sets(&TrainingSpec::warmup_ratio)},
      {"weight_decay", Sets(&TrainingSpec::weight_decay)},
  };
  return *setters;
}

std::string KnownFields() {
  return absl::StrJoin(Setters(), ", ",
                       [](std::string* out, const auto& entry) { out->append(entry.first); });
}

// `count` of `points`, in their order.
void Sample(std::vector<SweepPoint>& points, size_t count, int64_t seed) {
  std::vector<size_t> order(points.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::mt19937_64 engine(static_cast<uint64_t>(seed));
  // Fisher-Yates by hand: what std::shuffle does differs between standard libraries.
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  order.resize(count);
  std::sort(order.begin(), order.end());
  std::vector<SweepPoint> kept;
  for (const size_t i : order) kept.push_back(std::move(points[i]));
  points = std::move(kept);
}

class Grid {
 public:
  Grid(const TrainingSpec& shared, const SweepSpec& sweep) : shared_(shared), sweep_(sweep) {}

  SweepGrid Build() {
    CheckSweep();
    if (!grid_.violations.empty()) return std::move(grid_);
    grid_.points.push_back({{}, shared_});
    for (size_t i = 0; i < sweep_.axes.size(); ++i) Multiply(i);
    if (!grid_.violations.empty()) return std::move(grid_);
    const size_t most = static_cast<size_t>(sweep_.max_trials > 0 ? sweep_.max_trials : kMaxTrials);
    if (grid_.points.size() > most) {
      if (sweep_.max_trials == 0) {
        Violate("axes", absl::StrCat("make ", grid_.points.size(), " trials; at most ", kMaxTrials,
                                     ", or set max_jobs to draw some of them"));
      } else {
        Sample(grid_.points, most, shared_.seed.value_or(42));
      }
    }
    return std::move(grid_);
  }

 private:
  void Violate(const std::string& field, std::string description) {
    grid_.violations.push_back({absl::StrCat("spec.sweep.", field), std::move(description)});
  }

  void CheckSweep() {
    if (sweep_.axes.empty()) Violate("axes", "is empty; give at least one field and its values");
    if (sweep_.max_trials < 0 || sweep_.max_trials > kMaxTrials) {
      Violate("max_jobs",
              absl::StrCat("is ", sweep_.max_trials, "; must be between 0 and ", kMaxTrials));
    }
    if (sweep_.parallelism < 0 || sweep_.parallelism > 1) {
      Violate("parallelism", absl::StrCat("is ", sweep_.parallelism,
                                          "; trials run one after another: leave it out"));
    }
    double size = 1;
    std::set<std::string> seen;
    for (size_t i = 0; i < sweep_.axes.size(); ++i) {
      const SweepAxis& axis = sweep_.axes[i];
      const std::string here = absl::StrCat("axes[", i, "]");
      if (!Setters().contains(axis.field)) {
        Violate(here + ".field", absl::StrCat("is '", axis.field, "'; known are ", KnownFields()));
      }
      if (!seen.insert(axis.field).second) Violate(here + ".field", "is there twice");
      if (axis.values.empty()) Violate(here + ".values", "is empty");
      size *= static_cast<double>(axis.values.size());
    }
    if (size > 100'000) Violate("axes", "make more than 100,000 points");
  }

  void Multiply(size_t index) {
    const SweepAxis& axis = sweep_.axes[index];
    const Setter& set = Setters().at(axis.field);
    std::vector<SweepPoint> product;
    for (const SweepPoint& point : grid_.points) {
      for (size_t v = 0; v < axis.values.size(); ++v) {
        SweepPoint next = point;
        if (!set(next.spec, axis.values[v])) {
          Violate(absl::StrCat("axes[", index, "].values[", v, "]"),
                  absl::StrCat("is '", axis.values[v], "', which is no value of ", axis.field));
          return;
        }
        next.values[axis.field] = axis.values[v];
        product.push_back(std::move(next));
      }
    }
    grid_.points = std::move(product);
  }

  const TrainingSpec& shared_;
  const SweepSpec& sweep_;
  SweepGrid grid_;
};

}  // namespace

SweepGrid GridOf(const TrainingSpec& shared, const SweepSpec& sweep) {
  return Grid(shared, sweep).Build();
}

}  // namespace crossover::scheduler
