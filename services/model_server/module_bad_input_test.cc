// What a client may do wrong: an OpenAI error body, and the others go on.
#include "absl/strings/str_cat.h"
#include "common/http/raw_client.h"
#include "services/model_server/module_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::HasSubstr;

class BadInputTest : public ModuleTest {
 protected:
  // Status, code and field of an error, which has all four keys.
  std::string ErrorOf(const http::ClientResponse& response) {
    const json body = json::parse(response.body, nullptr, false);
    if (!body.is_object() || !body.contains("error")) return "no error: " + response.body;
    const json& error = body["error"];
    for (const char* key : {"message", "type", "param", "code"})
      EXPECT_TRUE(error.contains(key)) << response.body;
    return absl::StrCat(response.status, " ",
                        error["code"].is_null() ? "-" : error["code"].get<std::string>(), " ",
                        error["param"].is_null() ? "-" : error["param"].get<std::string>());
  }

  std::string ErrorWith(const std::string& field, const json& value) {
    json body = Chat();
    body[field] = value;
    return ErrorOf(Post(body));
  }
};

TEST_F(BadInputTest, LimitsThatMakeNoSenseAreNamed) {
  Start();
  EXPECT_EQ(ErrorWith("max_tokens", -5), "400 field_invalid max_tokens");
  EXPECT_EQ(ErrorWith("max_tokens", 0), "400 field_invalid max_tokens");
  EXPECT_EQ(ErrorWith("max_completion_tokens", -1), "400 field_invalid max_tokens");
  EXPECT_EQ(ErrorWith("max_tokens", 1e300), "400 field_invalid max_tokens");
  EXPECT_EQ(ErrorWith("n", -1), "400 field_invalid n");
  EXPECT_EQ(ErrorWith("n", 1000), "400 field_invalid n");
  EXPECT_EQ(ErrorWith("temperature", -0.1), "400 field_invalid temperature");
  EXPECT_EQ(ErrorWith("top_p", -1), "400 field_invalid top_p");
  EXPECT_EQ(ErrorWith("top_k", -1), "400 field_invalid top_k");
  EXPECT_EQ(ErrorWith("logit_bias", {{"-7", 1}}), "400 field_invalid logit_bias[-7]");
  EXPECT_EQ(ErrorWith("max_tokens", 100000), "400 context_length_exceeded max_tokens");
}

TEST_F(BadInputTest, ContextOverflowAndUnknownModelsAreNamed) {
  Start();
  EXPECT_EQ(ErrorWith("messages", {{{"role", "user"}, {"content", std::string(5000, 'x')}}}),
            "400 context_length_exceeded messages");
  EXPECT_EQ(ErrorOf(Post(Chat("ft:small:default:x:12345678"))), "404 model_not_found -");
  EXPECT_EQ(ErrorOf(Post(Chat("sha256:" + std::string(64, '0')))), "404 model_not_found -");
  EXPECT_TRUE(fake().Requests().empty());
}

TEST_F(BadInputTest, BodiesThatAreNoJsonOrNoUtf8AreRefused) {
  Start();
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"}) {
    EXPECT_EQ(ErrorOf(PostText(path, "")), "400 field_invalid body") << path;
    EXPECT_EQ(ErrorOf(PostText(path, "{\"model\":")), "400 field_invalid body") << path;
    EXPECT_EQ(ErrorOf(PostText(path, "[1]")), "400 field_invalid body") << path;
    EXPECT_EQ(ErrorOf(PostText(path, "{\"model\":\"\xff\xfe\"}")), "400 field_invalid body")
        << path;
    EXPECT_EQ(ErrorOf(PostText(path, std::string(20000, '['))), "400 field_invalid body") << path;
  }
  EXPECT_EQ(Post(Chat()).status, 200);
}

TEST_F(BadInputTest, ABodyOf100MegabytesIsRefusedAndTheBatchGoesOn) {
  Start();
  fake().Hold();
  std::thread other([&] { EXPECT_EQ(Post(Chat()).status, 200); });
  ASSERT_TRUE(fake().WaitForRequests(1));
  http::RawClient raw(module_->http_port());
  ASSERT_TRUE(raw.connected());
  raw.Send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 104857600\r\n\r\n{");
  const std::string answer = raw.ReadUntil("}}");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 413"));
  EXPECT_THAT(answer, HasSubstr("\"error\""));
  fake().Release();
  other.join();
}

TEST_F(BadInputTest, AReaderThatDoesNotReadKeepsNobodyWaiting) {
  Start();
  // 24,000 pieces of answers that nobody takes from the socket: more than its buffers take. The
  // fake engine answers one request after the other, so all are made before the others are
  // answered.
  fake().SetAnswer([](const llm::GenerateRequest& request) {
    return std::string(request.prompt.size() == 1 ? 1000 : 3, 'x');
  });
  const std::string body =
      R"({"model":"small","prompt":"a","max_tokens":1000,"n":24,"stream":true,"logprobs":1})";
  http::RawClient slow(module_->http_port(), /*receive_buffer=*/256 << 10);
  slow.Send(absl::StrCat("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ",
                         body.size(), "\r\n\r\n", body));
  ASSERT_TRUE(fake().WaitForRequests(24));
  EXPECT_EQ(json::parse(Post(Chat()).body)["choices"][0]["message"]["content"], "xxx");
  EXPECT_EQ(json::parse(Post(Chat()).body)["choices"][0]["message"]["content"], "xxx");
  const std::string all = slow.ReadUntil("[DONE]");
  EXPECT_TRUE(all.find("[DONE]") != std::string::npos);  // To its end.
  EXPECT_GT(all.size(), size_t{6} << 20);                // Else the socket could have taken it.
}

TEST_F(BadInputTest, AFullQueueSaysWhenToComeBackInEveryContract) {
  Start();
  fake().SetCapacity(0);
  for (const auto& [path, body] :
       std::map<std::string, json>{{"/v1/chat/completions", Chat()},
                                   {"/v1/completions", {{"model", "small"}, {"prompt", "a"}}}}) {
    const http::ClientResponse response = Post(body, {}, path);
    EXPECT_EQ(ErrorOf(response), "429 queue_full -") << path;
    EXPECT_EQ(response.headers.Get("retry-after"), "1") << path;
  }
}

}  // namespace
}  // namespace crossover::inference
