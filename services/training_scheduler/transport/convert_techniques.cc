#include "services/training_scheduler/transport/convert_techniques.h"

#include "services/training_scheduler/transport/enums.h"

namespace crossover::scheduler {
namespace {

namespace pb = v1;

// Lists and maps, which are the same in both.
template <typename Techniques>
void PutLists(const Techniques& from, pb::AdapterSpec& adapter) {
  adapter.mutable_layers()->Add(from.layers.begin(), from.layers.end());
  for (const auto& [key, rank] : from.rank_pattern)
    (*adapter.mutable_rank_pattern())[key] = static_cast<int32_t>(rank);
  for (const auto& [key, alpha] : from.alpha_pattern)
    (*adapter.mutable_alpha_pattern())[key] = alpha;
}

}  // namespace

TechniqueSpec TechniquesFromProto(const pb::TrainingSpec& from) {
  const pb::AdapterSpec& adapter = from.adapter();
  TechniqueSpec to;
  if (adapter.has_dropout()) to.dropout = adapter.dropout();
  to.layers.assign(adapter.layers().begin(), adapter.layers().end());
  to.rank_pattern.insert(adapter.rank_pattern().begin(), adapter.rank_pattern().end());
  to.alpha_pattern.insert(adapter.alpha_pattern().begin(), adapter.alpha_pattern().end());
  if (adapter.has_dora()) to.dora = adapter.dora();
  to.initial = FromEnum(adapter.initial(), &ParseInitialAdapter);
  if (from.has_decay_share()) to.decay_share = from.decay_share();
  if (from.has_lora_plus_ratio()) to.lora_plus_ratio = from.lora_plus_ratio();
  if (from.has_embedding_noise()) to.embedding_noise = from.embedding_noise();
  to.activations = FromEnum(from.activations(), &ParseActivationPolicy);
  return to;
}

void TechniquesToProto(const TechniqueSpec& from, pb::TrainingSpec& to) {
  pb::AdapterSpec& adapter = *to.mutable_adapter();
  PutLists(from, adapter);
  if (from.dropout) adapter.set_dropout(*from.dropout);
  if (from.dora) adapter.set_dora(*from.dora);
  if (from.initial) adapter.set_initial(ToEnum<pb::AdapterSpec::Initial>(Name(*from.initial)));
  if (from.decay_share) to.set_decay_share(*from.decay_share);
  if (from.lora_plus_ratio) to.set_lora_plus_ratio(*from.lora_plus_ratio);
  if (from.embedding_noise) to.set_embedding_noise(*from.embedding_noise);
  if (from.activations)
    to.set_activations(ToEnum<pb::TrainingSpec::Activations>(Name(*from.activations)));
}

void TechniquesToProto(const ResolvedTechniques& from, pb::TrainingSpec& to) {
  pb::AdapterSpec& adapter = *to.mutable_adapter();
  PutLists(from, adapter);
  adapter.set_dropout(from.dropout);
  adapter.set_dora(from.dora);
  adapter.set_initial(ToEnum<pb::AdapterSpec::Initial>(Name(from.initial)));
  to.set_decay_share(from.decay_share);
  to.set_lora_plus_ratio(from.lora_plus_ratio);
  to.set_embedding_noise(from.embedding_noise);
  if (from.activations)
    to.set_activations(ToEnum<pb::TrainingSpec::Activations>(Name(*from.activations)));
}

}  // namespace crossover::scheduler
