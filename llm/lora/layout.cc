#include "llm/lora/layout.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace crossover::llm {

namespace {

constexpr std::array<std::string_view, 7> kNames = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                    "gate_proj", "up_proj", "down_proj"};

int64_t InOf(const ModelConfig& config, Target target) {
  switch (target) {
    case Target::kO:
      return config.heads * config.head_dim;
    case Target::kDown:
      return config.intermediate_size;
    default:
      return config.hidden_size;
  }
}

int64_t OutOf(const ModelConfig& config, Target target) {
  switch (target) {
    case Target::kQ:
      return config.heads * config.head_dim;
    case Target::kK:
    case Target::kV:
      return config.kv_heads * config.head_dim;
    case Target::kGate:
    case Target::kUp:
      return config.intermediate_size;
    default:
      return config.hidden_size;
  }
}

int64_t OutOffsetOf(const ModelConfig& config, Target target) {
  switch (target) {
    case Target::kK:
      return config.heads * config.head_dim;
    case Target::kV:
      return (config.heads + config.kv_heads) * config.head_dim;
    case Target::kUp:
      return config.intermediate_size;
    default:
      return 0;
  }
}

}  // namespace

std::string_view NameOf(Target target) { return kNames[static_cast<size_t>(target)]; }

std::optional<Target> TargetOf(std::string_view name) {
  for (const Target target : kAllTargets) {
    if (NameOf(target) == name) return target;
  }
  return std::nullopt;
}

Group GroupOf(Target target) {
  switch (target) {
    case Target::kQ:
    case Target::kK:
    case Target::kV:
      return Group::kQkv;
    case Target::kO:
      return Group::kO;
    case Target::kGate:
    case Target::kUp:
      return Group::kGateUp;
    case Target::kDown:
      break;
  }
  return Group::kDown;
}

LoraLayout::LoraLayout(const ModelConfig& config, std::vector<Spec> specs)
    : layers_(config.layers) {
  std::erase_if(specs, [](const Spec& spec) { return spec.rank == 0; });
  std::sort(specs.begin(), specs.end(), [](const Spec& a, const Spec& b) {
    return std::tie(a.layer, a.target) < std::tie(b.layer, b.target);
  });
  for (size_t first = 0; first < specs.size();) {
    size_t last = first;
    int64_t rank_offset = 0;
    while (last < specs.size() && specs[last].layer == specs[first].layer &&
           GroupOf(specs[last].target) == GroupOf(specs[first].target)) {
      const Spec& spec = specs[last++];
      LoraMatrix matrix{.layer = spec.layer,
                        .target = spec.target,
                        .rank = spec.rank,
                        .scale = spec.scale,
                        .in = InOf(config, spec.target),
                        .out = OutOf(config, spec.target),
                        .out_offset = OutOffsetOf(config, spec.target),
                        .rank_offset = rank_offset,
                        .a_offset = size_,
                        .frozen = spec.frozen};
      rank_offset += matrix.rank;
      size_ += matrix.a_size();
      matrices_.push_back(matrix);
    }
    for (size_t i = first; i < last; ++i) {
      matrices_[i].b_offset = size_;
      size_ += matrices_[i].b_size();
    }
    for (; first < last; ++first) {
      if (!specs[first].dora) continue;
      matrices_[first].m_offset = size_;
      size_ += matrices_[first].out;
    }
  }
}

LoraLayout LoraLayout::Uniform(const ModelConfig& config, const std::vector<Target>& targets,
                               int64_t rank, double scale) {
  std::vector<Spec> specs;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const Target target : targets) specs.push_back({layer, target, rank, scale});
  }
  return LoraLayout(config, std::move(specs));
}

std::vector<const LoraMatrix*> LoraLayout::MatricesOf(int64_t layer, Group group) const {
  std::vector<const LoraMatrix*> found;
  for (const LoraMatrix& matrix : matrices_) {
    if (matrix.layer == layer && GroupOf(matrix.target) == group) found.push_back(&matrix);
  }
  return found;
}

bool LoraLayout::scaled() const {
  return std::ranges::any_of(matrices_, [](const LoraMatrix& m) { return m.scaled(); });
}

int64_t LoraLayout::RankSum(int64_t layer, Group group) const {
  int64_t sum = 0;
  for (const LoraMatrix* matrix : MatricesOf(layer, group)) sum += matrix->rank;
  return sum;
}

int64_t LoraLayout::MaxRankSum(Group group) const {
  int64_t largest = 0;
  for (int64_t layer = 0; layer < layers_; ++layer)
    largest = std::max(largest, RankSum(layer, group));
  return largest;
}

std::string ModuleName(const LoraMatrix& matrix) {
  const bool mlp = GroupOf(matrix.target) == Group::kGateUp || matrix.target == Target::kDown;
  return absl::StrCat("model.layers.", matrix.layer, mlp ? ".mlp." : ".self_attn.",
                      std::string(NameOf(matrix.target)));
}

int64_t StackRows(const ModelConfig& config, Group group) {
  switch (group) {
    case Group::kQkv:
      return (config.heads + 2 * config.kv_heads) * config.head_dim;
    case Group::kGateUp:
      return 2 * config.intermediate_size;
    case Group::kO:
    case Group::kDown:
      break;
  }
  return config.hidden_size;
}

}  // namespace crossover::llm
