// Batcher: sequences whose hidden states are averaged.
#include <utility>

#include "llm/generate/batcher.h"

namespace crossover::llm {

void Batcher::AcceptHidden(Sequence& sequence, const std::vector<float>& sum) {
  std::vector<double>& total = sequence.hidden_sum;
  total.resize(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) total[i] += sum[i];
  const int64_t length = static_cast<int64_t>(sequence.prompt.size());
  if (sequence.tail->start() + sequence.tail->computed < length) return;
  std::vector<float>& mean = sequence.embed->result.embeddings[sequence.place];
  for (const double component : total)
    mean.push_back(static_cast<float>(component / static_cast<double>(length)));
  FinishEmbedding(sequence, absl::OkStatus());
}

void Batcher::FinishEmbedding(Sequence& sequence, const absl::Status& status) {
  const std::shared_ptr<EmbedGroup> group = sequence.embed;
  Release(sequence);
  Remove(&sequence);
  if (group->on_done == nullptr) return;  // Has failed before.
  --group->unfinished;
  if (!status.ok()) {
    std::exchange(group->on_done, nullptr)(status);
  } else if (group->unfinished == 0) {
    std::exchange(group->on_done, nullptr)(std::move(group->result));
  }
}

}  // namespace crossover::llm
