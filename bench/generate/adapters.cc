#include "bench/generate/adapters.h"

#include <algorithm>
#include <chrono>
#include <future>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/lora/adapter.h"
#include "llm/model/random.h"

namespace crossover::bench {
namespace {

// Different files; each is registered under several keys, which are adapters of their own in
// memory.
constexpr int kFiles = 40;

absl::StatusOr<double> TokensPerSecond(llm::Engine& engine,
                                       const std::vector<std::string>& adapters, int64_t tokens,
                                       int64_t vocab, uint64_t round) {
  std::vector<std::promise<absl::StatusOr<llm::GenerateResult>>> done(adapters.size());
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < adapters.size(); ++i) {
    llm::GenerateRequest request{.adapter = adapters[i],
                                 .sampling = {.temperature = 0, .max_tokens = tokens}};
    for (uint64_t t = 0; t < 16; ++t) {
      request.prompt.push_back(static_cast<int32_t>(
          llm::RandomBits(round, i, t) % static_cast<uint64_t>(vocab - 100) + 50));
    }
    RETURN_IF_ERROR(engine
                        .Submit(std::move(request), nullptr,
                                [&, i](absl::StatusOr<llm::GenerateResult> result) {
                                  done[i].set_value(std::move(result));
                                })
                        .status());
  }
  int64_t generated = 0;
  for (auto& promise : done) {
    ASSIGN_OR_RETURN(const llm::GenerateResult result, promise.get_future().get());
    generated += static_cast<int64_t>(result.tokens.size());
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return static_cast<double>(generated) / seconds;
}

}  // namespace

absl::Status WriteRandomAdapter(const std::filesystem::path& folder, const llm::ModelConfig& model,
                                const AdapterShape& shape, uint64_t seed,
                                const std::string& base_digest) {
  const llm::LoraLayout layout = llm::LoraLayout::Uniform(model, shape.targets, shape.rank, 2.0);
  std::vector<float> values = llm::InitialValues(layout, seed);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] += static_cast<float>(llm::RandomUniform(seed, 1, i) - 0.5) * 2e-3f;
  llm::LoraConfig config{.rank = static_cast<int>(shape.rank),
                         .alpha = static_cast<double>(2 * shape.rank),
                         .base_model = base_digest};
  for (const llm::Target target : shape.targets)
    config.target_modules.emplace_back(llm::NameOf(target));
  std::sort(config.target_modules.begin(), config.target_modules.end());
  return llm::WriteAdapter(folder, config, layout, values);
}

absl::StatusOr<ManyAdapters> MeasureManyAdapters(std::shared_ptr<const llm::BaseModel> base,
                                                 const AdapterShape& shape,
                                                 const std::filesystem::path& folder,
                                                 int registered, int rows, int64_t tokens,
                                                 int rounds) {
  const int64_t vocab = base->config().vocab_size;
  const llm::ModelConfig config = base->config();
  ASSIGN_OR_RETURN(const auto engine,
                   llm::Engine::Create(std::move(base), {.max_batch_rows = rows}));
  for (int i = 0; i < registered; ++i) {
    const std::filesystem::path file = folder / absl::StrCat("many-", i % kFiles);
    if (i < kFiles)
      RETURN_IF_ERROR(WriteRandomAdapter(file, config, shape, static_cast<uint64_t>(i), ""));
    RETURN_IF_ERROR(engine->LoadAdapter(absl::StrCat(i), file.string()));
  }
  ManyAdapters best;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::string> one(static_cast<size_t>(rows), "0"), many;
    for (int i = 0; i < rows; ++i) {
      many.push_back(
          absl::StrCat(llm::RandomBits(7, static_cast<uint64_t>(round), static_cast<uint64_t>(i)) %
                       static_cast<uint64_t>(registered)));
    }
    const uint64_t prompts = static_cast<uint64_t>(round) * 2 + 1;
    ASSIGN_OR_RETURN(const double with_one, TokensPerSecond(*engine, one, tokens, vocab, prompts));
    ASSIGN_OR_RETURN(const double with_many,
                     TokensPerSecond(*engine, many, tokens, vocab, prompts + 1));
    best.one = std::max(best.one, with_one);
    best.many = std::max(best.many, with_many);
  }
  return best;
}

}  // namespace crossover::bench
