// Requests that are large, or too large.
#include "absl/strings/str_cat.h"
#include "common/http/raw_client.h"
#include "services/model_server/module_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::HasSubstr;

constexpr const char* kBodyPaths[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"};

TEST_F(ModuleTest, ABodyOverSixteenMebibytesIsRefusedBeforeItIsRead) {
  Start();
  for (const char* path : kBodyPaths) {
    http::RawClient raw(module_->http_port());
    raw.Send(absl::StrCat("POST ", path, " HTTP/1.1\r\nhost: x\r\ncontent-length: ", (16 << 20) + 1,
                          "\r\n\r\n{"));
    const std::string answer = raw.ReadUntil("}}");
    EXPECT_THAT(answer, HasSubstr("HTTP/1.1 413")) << path;
    EXPECT_THAT(answer, HasSubstr("body_too_large")) << path;
  }
}

// Such a body is read on another thread than a small one.
TEST_F(ModuleTest, ALargeBodyIsReadAsASmallOne) {
  Start();
  json body = Chat();
  body["metadata"] = {{"a", std::string(200'000, 'x')}};
  EXPECT_EQ(Post(body).status, 200);
  EXPECT_EQ(Post({{"model", "small"}, {"prompt", "a"}, {"user", std::string(200'000, 'x')}}, {},
                 "/v1/completions")
                .status,
            200);
  EXPECT_EQ(Post({{"model", "small"}, {"input", "a"}, {"user", std::string(200'000, 'x')}}, {},
                 "/v1/embeddings")
                .status,
            200);
  body["temperature"] = 9;
  const json error = json::parse(Post(body).body)["error"];
  EXPECT_EQ(error["param"], "temperature");
}

}  // namespace
}  // namespace crossover::inference
